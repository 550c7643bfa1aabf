"""A checkpoint for other runtimes: pixels in, numbers out.

| format | what | read by |
| --- | --- | --- |
| `tensor_only` | a SavedModel whose graph has no text in it | OpenVINO, converters |
| `onnx` | `model.onnx` | onnxruntime, and whatever else reads ONNX |
| `tflite` | `model.tflite`, on wish with weights and arithmetic in int8 | LiteRT |

Input: `image`, uint8 [N, H, W, C] (of a regression `x`, float32 [N, D]); decoding and
resizing are the caller's. Outputs: `probabilities`, `logits`, `scores` (sorted) and
`class_index`; the names are in `labels.txt`.
"""

import os
import tempfile

from estimator_clf.compat import estimator

import numpy as np
import tensorflow as tf

from estimator_clf.checkpoints.saver import saver_of
from estimator_clf.core.errors import ConfigError
from estimator_clf.export.saved_model import write_graph, write_labels
from estimator_clf.export.versions import exported

v1 = tf.compat.v1

# The newest that has all that our networks need and that old readers know (2022).
_OPSET = 17


def export(kind, model_fn, info, checkpoint, export_dir, quantize='', calibration=None):
    """Exports a checkpoint as `<export_dir>/<version>/`, appearing all at once.

    Args:
      kind: 'tensor_only', 'onnx' or 'tflite'.
      model_fn: see `export_saved_model`, as are `info`, `checkpoint` and `export_dir`.
      quantize: 'int8' or '', of tflite.
      calibration: of int8: array [M, …] of real inputs, as the model takes them, from
        which the ranges of the activations are learnt; some 100 do.

    Returns:
      Path of the version's directory.

    Raises:
      ConfigError: the extra that it takes is not installed.
      RunError: it could not be written.
    """
    if kind == 'onnx':
        _tf2onnx()  # Asked before anything is written.
    with exported(export_dir, checkpoint) as version:
        partial = version.partial
        if kind == 'tensor_only':
            write_graph(model_fn, info, checkpoint, partial, tensor_only=True)
        elif kind == 'onnx':
            data = _onnx(model_fn, info, checkpoint)
            _write(os.path.join(partial, 'model.onnx'), data)
        else:
            data = _tflite(model_fn, info, checkpoint, quantize, calibration)
            _write(os.path.join(partial, 'model.tflite'), data)
        if info.class_names:
            write_labels(os.path.join(partial, 'labels.txt'), info)
    return version.path


def calibration_inputs(source, split, count=100, eval_crop=1.0):
    """Takes inputs for `export` from the data: shuffled, and not augmented.

    Returns:
      Array [count, …], or as many as the split has.
    """
    from input.sources.base import as_numpy_batches

    size = min(count, source.num_examples[split])
    input_fn = source.input_fn(split, size, training=True, eval_crop=eval_crop)
    ((features, _),) = as_numpy_batches(input_fn, 1)
    return features['image' if 'image' in features else 'x']


def _onnx(model_fn, info, checkpoint):
    """Returns a ModelProto, serialized."""
    tf2onnx = _tf2onnx()
    with tf.Graph().as_default() as graph, v1.Session() as session:
        (name, tensor), outputs = _frozen_part(model_fn, info, checkpoint, session)
        frozen = v1.graph_util.convert_variables_to_constants(
            session, graph.as_graph_def(), list(outputs)
        )
    model, _ = tf2onnx.convert.from_graph_def(
        frozen,
        input_names=[tensor.name],
        output_names=[f'{output}:0' for output in outputs],
        opset=_OPSET,
    )
    names = {tensor.name: name, **{f'{output}:0': output for output in outputs}}
    for node in model.graph.node:
        node.input[:] = [names.get(n, n) for n in node.input]
        node.output[:] = [names.get(n, n) for n in node.output]
    for value in (*model.graph.input, *model.graph.output):
        value.name = names[value.name]
        # The converter calls it unk__43 or the like.
        value.type.tensor_type.shape.dim[0].dim_param = 'N'
    return model.SerializeToString()


def _frozen_part(model_fn, info, checkpoint, session):
    """Builds the graph with names that a reader sees; restores the weights."""
    v1.train.create_global_step()
    name, dtype = ('image', tf.uint8) if info.class_names else ('x', tf.float32)
    tensor = v1.placeholder(dtype, [None, *info.image_shape], f'{name}_in')
    spec = model_fn({name: tensor}, None, mode=estimator.ModeKeys.PREDICT)
    outputs = [
        tf.identity(value, output).op.name
        for output, value in spec.predictions.items()
        if value.dtype != tf.string and output != 'key'
    ]
    saver_of(spec).restore(session, checkpoint)
    return (name, tensor), outputs


def _tflite(model_fn, info, checkpoint, quantize, calibration):
    """Returns a flatbuffer."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, 'model')
        # The converter learns ranges of floats only. Pixels as floats from 0 to 255
        # are, quantized, the very bytes that they were.
        write_graph(
            model_fn,
            info,
            checkpoint,
            path,
            tensor_only=True,
            dtype=tf.float32 if quantize else None,
        )
        converter = tf.lite.TFLiteConverter.from_saved_model(
            path, signature_keys=['tensor' if info.class_names else 'serving_default']
        )
        if quantize == 'int8':
            inputs = np.asarray(calibration, np.float32)
            name = 'image' if info.class_names else 'x'
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: (
                {name: one[None]} for one in inputs
            )
            converter.target_spec.supported_ops = [
                tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
                tf.lite.OpsSet.TFLITE_BUILTINS,  # Of top_k, which has no int8 form.
            ]
            if info.class_names:
                converter.inference_input_type = tf.uint8
        return converter.convert()


def _tf2onnx():
    try:
        import tf2onnx
    except ImportError as error:
        raise ConfigError(
            f"`format=onnx` needs the extra: pip install -e '.[onnx]' ({error})"
        ) from None
    return tf2onnx


def _write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as file:
        file.write(data)
