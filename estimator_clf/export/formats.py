"""Exports a checkpoint to formats of other runtimes, from pixels to numbers.

| format | content | read by |
| --- | --- | --- |
| `tensor_only` | a SavedModel whose graph has no strings | OpenVINO, converters |
| `onnx` | `model.onnx` | onnxruntime and other ONNX readers |
| `tflite` | `model.tflite`, optionally with int8 weights and arithmetic | LiteRT |

Input: `image`, uint8 [N, H, W, C] (for regression `x`, float32 [N, D]), decoded and
resized by the caller. Outputs: `probabilities`, `logits`, `scores` (sorted) and
`class_index`; the class names are in `labels.txt`.
"""

import os
import tempfile
from collections.abc import Callable
from typing import Any

from estimator_clf.compat import estimator

import numpy as np
import tensorflow as tf

from estimator_clf.checkpoints.saver import saver_of
from estimator_clf.core.errors import ConfigError
from estimator_clf.export.saved_model import write_graph, write_labels
from estimator_clf.export.versions import exported
from input.dataset_info import DatasetInfo
from input.sources.base import DataSource, as_numpy_batches

v1 = tf.compat.v1

# From 2022: has all operations of the networks here, and old readers support it.
_OPSET = 17


def export(
    kind: str,
    model_fn: Callable[..., Any],
    info: DatasetInfo,
    checkpoint: str,
    export_dir: str,
    quantize: str = '',
    calibration: np.ndarray | None = None,
) -> str:
    """Exports a checkpoint atomically as `<export_dir>/<version>/`.

    Args:
      kind: 'tensor_only', 'onnx' or 'tflite'.
      model_fn: see `export_saved_model`, as are `info`, `checkpoint` and `export_dir`.
      quantize: 'int8' or '', for tflite.
      calibration: for int8: [M, …], real inputs of the model, from which the ranges
        of the activations are estimated; about 100 suffice.

    Returns:
      Path of the version's directory.

    Raises:
      ConfigError: a required extra is not installed.
      RunError: the export could not be written.
    """
    if kind == 'onnx':
        _tf2onnx()  # Fails before anything is written.
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


def calibration_inputs(
    source: DataSource, split: str, count: int = 100, eval_crop: float = 1.0
) -> np.ndarray:
    """Reads shuffled inputs for `export`, without augmentation.

    Returns:
      [count, …], or fewer if the split is smaller.
    """
    size = min(count, source.num_examples[split])
    input_fn = source.input_fn(split, size, training=True, eval_crop=eval_crop)
    ((features, _),) = as_numpy_batches(input_fn, 1)
    return features['image' if 'image' in features else 'x']


def _onnx(model_fn: Callable[..., Any], info: DatasetInfo, checkpoint: str) -> bytes:
    """Returns a serialized ModelProto."""
    tf2onnx = _tf2onnx()
    with tf.Graph().as_default() as graph, v1.Session() as session:
        (name, tensor), outputs = _restored_graph(model_fn, info, checkpoint, session)
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
        # The converter generates a name such as unk__43.
        value.type.tensor_type.shape.dim[0].dim_param = 'N'
    return model.SerializeToString()


def _restored_graph(
    model_fn: Callable[..., Any], info: DatasetInfo, checkpoint: str, session: Any
) -> tuple[tuple[str, tf.Tensor], list[str]]:
    """Builds the graph with readable output names and restores the weights.

    Returns:
      ((name, tensor) of the input, names of the outputs).
    """
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


def _tflite(
    model_fn: Callable[..., Any],
    info: DatasetInfo,
    checkpoint: str,
    quantize: str,
    calibration: np.ndarray | None,
) -> bytes:
    """Returns a TFLite flatbuffer."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, 'model')
        # The converter calibrates float inputs only. Pixels as floats from 0 to 255
        # are quantized to their original bytes.
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
                tf.lite.OpsSet.TFLITE_BUILTINS,  # For top_k, which has no int8 form.
            ]
            if info.class_names:
                converter.inference_input_type = tf.uint8
        return converter.convert()


def _tf2onnx() -> Any:
    try:
        import tf2onnx
    except ImportError as error:
        raise ConfigError(
            f"`format=onnx` needs an extra: pip install -e '.[onnx]' ({error})"
        ) from None
    return tf2onnx


def _write(path: str, data: bytes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as file:
        file.write(data)
