"""From a checkpoint to a SavedModel, with the preprocessing in its graph."""

import os
import re
import shutil
import time

from estimator_clf.compat import estimator

import tensorflow as tf

from estimator_clf.errors import RunError, explain_restore

v1 = tf.compat.v1

_PARTIAL = 'partial-'  # No server takes a folder for a version that is no number.


def export_saved_model(model_fn, info, checkpoint, export_dir, decode=None):
    """Exports a checkpoint as `<export_dir>/<version>/`, appearing all at once.

    Signatures: `serving_default` (input `image_bytes`: string [N], encoded JPEG, PNG,
    GIF or BMP) and `tensor` (input `image`: uint8 [N, H, W, C]); for regression
    `serving_default` (input `x`: float32 [N, D]).

    Args:
      model_fn: function (features, labels, mode) -> EstimatorSpec.
      info: `DatasetInfo`.
      checkpoint: path prefix of the checkpoint.
      export_dir: folder of the versions; made if need be.
      decode: function from one encoded picture (string scalar) to uint8 [H, W, C];
        None for regression.

    Returns:
      Path of the version's folder.

    Raises:
      RunError: it could not be written.
    """
    version = _next_version(export_dir)
    partial = os.path.join(export_dir, f'{_PARTIAL}{version}-{os.getpid()}')
    target = os.path.join(export_dir, str(version))
    try:
        os.makedirs(export_dir, exist_ok=True)
        _remove_partial(export_dir)
        with tf.Graph().as_default(), v1.Session() as session:
            v1.train.create_global_step()
            features, inputs = _receivers(info, decode)
            spec = model_fn(features, None, mode=estimator.ModeKeys.PREDICT)
            outputs = {n: t for n, t in spec.predictions.items() if n != 'key'}
            v1.train.Saver(v1.global_variables()).restore(session, checkpoint)
            builder = v1.saved_model.Builder(partial)
            builder.add_meta_graph_and_variables(
                session,
                ['serve'],
                {
                    name: v1.saved_model.predict_signature_def(tensors, outputs)
                    for name, tensors in inputs.items()
                },
                strip_default_attrs=True,
            )
            builder.save()
        _write_labels(partial, info)
        os.rename(partial, target)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise RunError(
            f'--export_dir={export_dir}: {error.strerror or error}; name another'
        ) from None
    except tf.errors.OpError as error:
        shutil.rmtree(partial, ignore_errors=True)
        text = explain_restore(error)
        if text is None:
            raise
        raise RunError(f'{checkpoint}: {text}') from None
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return target


def versions(export_dir):
    """Returns the whole exports in a folder: paths, oldest first."""
    folders = [os.path.join(export_dir, name) for name in _numbers(export_dir)]
    return [path for path in folders if tf.saved_model.contains_saved_model(path)]


def _numbers(folder):
    """The names in a folder that are whole numbers, the lowest first."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return sorted((n for n in names if n.isascii() and n.isdecimal()), key=int)


def _receivers(info, decode):
    """The features for the model_fn, and the inputs of each signature."""
    if decode is None:
        x = v1.placeholder(tf.float32, [None, *info.image_shape], 'x')
        return {'x': x}, {'serving_default': {'x': x}}
    data = v1.placeholder(tf.string, [None], 'image_bytes')
    # On the CPU wherever the network runs: decoders are there alone.
    with tf.device('/cpu:0'):
        images = tf.map_fn(
            decode,
            data,
            fn_output_signature=tf.TensorSpec(info.image_shape, tf.uint8),
        )
    # A fed tensor need not be a placeholder: one graph and set of weights, two ways in.
    images = tf.identity(images, 'image')
    images.set_shape([None, *info.image_shape])
    inputs = {
        'serving_default': {'image_bytes': data},
        'tensor': {'image': images},
    }
    return {'image': images}, inputs


def _write_labels(folder, info):
    if not info.class_names:
        return
    extra = os.path.join(folder, 'assets.extra')
    os.makedirs(extra)
    with open(os.path.join(extra, 'labels.txt'), 'w', encoding='utf-8') as file:
        file.write(''.join(name + '\n' for name in info.class_names))


def _next_version(export_dir):
    # Whatever has such a name, the number is taken.
    return max([int(time.time()), *(int(n) + 1 for n in _numbers(export_dir)[-1:])])


def _remove_partial(export_dir):
    """Removes what exports that were killed have left; not those under way."""
    for name in os.listdir(export_dir):
        match = re.fullmatch(_PARTIAL + r'\d+-(\d+)', name)
        if match and not _alive(int(match[1])):
            shutil.rmtree(os.path.join(export_dir, name), ignore_errors=True)


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # Somebody else's.
    return pid != os.getpid()
