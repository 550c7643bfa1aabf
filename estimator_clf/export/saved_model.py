"""From a checkpoint to a SavedModel, with the preprocessing in its graph."""

import contextlib
import os

from estimator_clf.compat import estimator

import tensorflow as tf

from estimator_clf.checkpoints.saver import saver_of
from estimator_clf.export import (
    check_examples,
    model_card,
    parity_check,
    serving_warmup,
)
from estimator_clf.export.signatures import (
    receivers,
    signature_defs,
    tensor_receiver,
)
from estimator_clf.export.versions import exported

v1 = tf.compat.v1

EXTRA = 'assets.extra'  # TensorFlow Serving's name for what is not the graph's.


def export_saved_model(
    model_fn,
    info,
    checkpoint,
    export_dir,
    decode=None,
    *,
    config=None,
    examples=None,
    check=False,
):
    """Exports a checkpoint as `<export_dir>/<version>/`, appearing all at once.

    The signatures are those of `estimator_clf.export.signatures`. Beside the graph are
    `MODEL_CARD.md` and, in `assets.extra/`, `labels.txt`, the warm-up requests of
    TensorFlow Serving, and images with the checkpoint's own predictions, with which
    `estimator_clf.export.parity_check` compares what the export says.

    Args:
      model_fn: function (features, labels, mode) -> EstimatorSpec.
      info: `DatasetInfo`.
      checkpoint: path prefix of the checkpoint.
      export_dir: directory of the versions; made if need be.
      decode: function from one encoded image (string scalar) to uint8 [H, W, C], or
        an `input.images.batch_decoder.BatchDecoder`, whose errors say which image of a
        request is wrong; None for regression.
      config: `Config` of the run, for the card; its metrics are read from its
      directory.
      examples: list of `samples.Sample` from the data, see `samples.take`; without,
        images are made up.
      check: compare, in a fresh process, before the version appears.

    Returns:
      Path of the version's directory.

    Raises:
      RunError: it could not be written, or is not what the checkpoint is.
    """
    checking = parity_check.process() if check else contextlib.nullcontext()
    with (
        exported(export_dir, checkpoint) as version,
        checking as have_checked,
    ):
        partial = version.partial
        signatures = write_graph(model_fn, info, checkpoint, partial, decode)
        _write_extras(partial, info)
        if not examples:
            limit = config.max_pixels if config else None
            examples = check_examples.made_up(info, decode, max_pixels=limit)
        check_examples.write(
            os.path.join(partial, EXTRA, check_examples.FILE_NAME),
            examples,
            check_examples.predict(model_fn, checkpoint, examples),
        )
        model_card.write(partial, info, signatures, checkpoint, config)
        if check:
            have_checked(partial)
    return version.path


def write_graph(
    model_fn, info, checkpoint, directory, decode=None, tensor_only=False, dtype=None
):
    """Writes `saved_model.pb` and the variables.

    Args:
      model_fn: see `export_saved_model`, as are `info`, `checkpoint` and `decode`.
      directory: where; must not be there yet.
      tensor_only: a graph that takes pixels and gives numbers, no text anywhere.
      dtype: of the pixels then, see `tensor_receiver`.

    Returns:
      dict name -> `SignatureDef`.
    """
    with tf.Graph().as_default(), v1.Session() as session:
        v1.train.create_global_step()
        if tensor_only:
            features, inputs = tensor_receiver(info, dtype)
        else:
            features, inputs = receivers(info, decode)
        spec = model_fn(features, None, mode=estimator.ModeKeys.PREDICT)
        outputs = {n: t for n, t in spec.predictions.items() if n != 'key'}
        if tensor_only:
            outputs = {n: t for n, t in outputs.items() if t.dtype != tf.string}
        signatures = signature_defs(inputs, outputs)
        saver_of(spec).restore(session, checkpoint)
        builder = v1.saved_model.Builder(directory)
        builder.add_meta_graph_and_variables(
            session, ['serve'], signatures, strip_default_attrs=True
        )
        builder.save()
    return signatures


def _write_extras(directory, info):
    extra = os.path.join(directory, EXTRA)
    os.makedirs(extra)
    if info.class_names:
        write_labels(os.path.join(extra, 'labels.txt'), info)
    serving_warmup.write(os.path.join(extra, serving_warmup.FILE_NAME), info)


def write_labels(path, info):
    """Writes the class names, a line each, in the order of the labels."""
    with open(path, 'w', encoding='utf-8') as file:
        file.write(''.join(name + '\n' for name in info.class_names))
