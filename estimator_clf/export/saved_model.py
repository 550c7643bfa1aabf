"""Exports a checkpoint as a SavedModel that includes the preprocessing."""

import contextlib
import os
from collections.abc import Callable, Sequence
from typing import Any

from estimator_clf.compat import estimator

import tensorflow as tf

from estimator_clf.checkpoints.saver import saver_of
from estimator_clf.config.config import Config
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
from input.dataset_info import DatasetInfo

v1 = tf.compat.v1

EXTRA = 'assets.extra'  # TensorFlow Serving's directory of additional files.


def export_saved_model(
    model_fn: Callable[..., Any],
    info: DatasetInfo,
    checkpoint: str,
    export_dir: str,
    decode: Callable[..., Any] | None = None,
    *,
    config: Config | None = None,
    examples: Sequence[check_examples.CheckExample] | None = None,
    check: bool = False,
) -> str:
    """Exports a checkpoint atomically as `<export_dir>/<version>/`.

    The signatures are those of `estimator_clf.export.signatures`. The directory also
    has `MODEL_CARD.md` and, in `assets.extra/`, `labels.txt`, the warm-up requests of
    TensorFlow Serving, and examples with the checkpoint's own predictions, with which
    `estimator_clf.export.parity_check` compares those of the export.

    Args:
      model_fn: function (features, labels, mode) -> EstimatorSpec.
      info: description of the data.
      checkpoint: path prefix of the checkpoint.
      export_dir: directory of the versions, created if missing.
      decode: function from one encoded image (string scalar) to uint8 [H, W, C], or
        an `input.images.batch_decoder.BatchDecoder`, whose errors name the position of
        the corrupt image in a request; None for regression.
      config: settings of the run, for the model card; metrics are read from its
        directory.
      examples: examples of the data, see `check_examples.from_source`; None: random
        images.
      check: run the parity check in a fresh process before the version appears.

    Returns:
      Path of the version's directory.

    Raises:
      RunError: the export could not be written, or differs from the checkpoint.
    """
    process = parity_check.process() if check else contextlib.nullcontext()
    with exported(export_dir, checkpoint) as version, process as run_check:
        partial = version.partial
        signatures = write_graph(model_fn, info, checkpoint, partial, decode)
        _write_extras(partial, info)
        if not examples:
            limit = config.data.max_image_pixels if config else None
            examples = check_examples.random_examples(info, decode, max_pixels=limit)
        check_examples.write(
            os.path.join(partial, EXTRA, check_examples.FILE_NAME),
            examples,
            check_examples.predict(model_fn, checkpoint, examples),
        )
        model_card.write(partial, info, signatures, checkpoint, config)
        if run_check:
            run_check(partial)
    return version.path


def write_graph(
    model_fn: Callable[..., Any],
    info: DatasetInfo,
    checkpoint: str,
    directory: str,
    decode: Callable[..., Any] | None = None,
    tensor_only: bool = False,
    dtype: tf.DType | None = None,
) -> dict[str, Any]:
    """Writes `saved_model.pb` and the variables.

    Args:
      model_fn: see `export_saved_model`, as are `info`, `checkpoint` and `decode`.
      directory: output directory; must not exist.
      tensor_only: write a graph from pixels to numbers, without strings.
      dtype: of the pixels with `tensor_only`, see `tensor_receiver`.

    Returns:
      `SignatureDef`s by name.
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


def _write_extras(directory: str, info: DatasetInfo) -> None:
    extra = os.path.join(directory, EXTRA)
    os.makedirs(extra)
    if info.class_names:
        write_labels(os.path.join(extra, 'labels.txt'), info)
    serving_warmup.write(os.path.join(extra, serving_warmup.FILE_NAME), info)


def write_labels(path: str, info: DatasetInfo) -> None:
    """Writes the class names in the order of the labels, one per line."""
    with open(path, 'w', encoding='utf-8') as file:
        file.write(''.join(name + '\n' for name in info.class_names))
