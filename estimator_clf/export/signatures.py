"""Signatures of an exported model, over one graph.

| signature | method | input | outputs |
| --- | --- | --- | --- |
| `serving_default` | predict | `image_bytes` string [N] | all |
| `tensor` | predict | `image` uint8 [N, H, W, C] | all |
| `examples` | predict | `examples` string [N], serialized `tf.Example` | all |
| `classify` | classify | `inputs`, as `examples` | `classes`, `scores` |

All outputs: `classes` string [N, k], `scores` float32 [N, k], `class_index` int64 [N],
`probabilities` and `logits` float32 [N, classes]. A regression has `serving_default`
(`x` float32 [N, D] to `y` float32 [N]), `examples`, and `regress` for `classify`.

The parser of examples feeds the decoder of images, which feeds the network; each
signature enters this chain at another tensor, since a fed tensor need not be a
placeholder. So there is one set of weights and one graph.
"""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from input.dataset_info import DatasetInfo

v1 = tf.compat.v1

Tensors = dict[str, tf.Tensor]

# Feature of a served `tf.Example` that holds the image, as in this project's TFRecords.
IMAGE_KEY = 'image/encoded'
# Feature that holds the input values of a regression.
VALUES_KEY = 'x'


def receivers(
    info: DatasetInfo, decode: Callable[..., Any] | None
) -> tuple[Tensors, Tensors]:
    """Builds the graph between the inputs of the signatures and the network.

    Args:
      info: description of the data.
      decode: see `export_saved_model`; None for regression.

    Returns:
      (features for the model_fn, tensors to feed by name).
    """
    # Parsers and decoders exist on the CPU only.
    with tf.device('/cpu:0'):
        examples = v1.placeholder(tf.string, [None], 'examples')
        if decode is None:
            values = _parse(examples, VALUES_KEY, info.image_shape, tf.float32)
            x = tf.identity(values, 'x')
            return {'x': x}, {'examples': examples, 'x': x}
        # A missing image becomes an empty one, for which the error names its position.
        encoded = _parse(examples, IMAGE_KEY, (), tf.string, '')
        encoded = tf.identity(encoded, 'image_bytes')
        images = _decode(decode, encoded, info.image_shape)
    images = tf.identity(images, 'image')
    images.set_shape([None, *info.image_shape])
    return {'image': images}, {
        'examples': examples,
        'image_bytes': encoded,
        'image': images,
    }


def tensor_receiver(
    info: DatasetInfo, dtype: tf.DType | None = None
) -> tuple[Tensors, Tensors]:
    """Builds the input of a graph without strings.

    Args:
      info: description of the data.
      dtype: of the input; None: uint8 for pixels, float32 for regression.

    Returns:
      As `receivers`.
    """
    name, default = ('image', tf.uint8) if info.class_names else ('x', tf.float32)
    tensor = v1.placeholder(dtype or default, [None, *info.image_shape], name)
    return {name: tensor}, {name: tensor}


def signature_defs(
    inputs: Mapping[str, tf.Tensor], outputs: Mapping[str, tf.Tensor]
) -> dict[str, Any]:
    """Makes the signatures.

    Args:
      inputs: tensors to feed, from `receivers` or `tensor_receiver`.
      outputs: predictions by name.

    Returns:
      `SignatureDef`s by name.
    """
    predict = v1.saved_model.predict_signature_def
    names = {
        'image_bytes': 'serving_default',
        'image': 'tensor',
        'x': 'serving_default',
    }
    signatures = {
        names.get(name, name): predict({name: tensor}, outputs)
        for name, tensor in inputs.items()
    }
    if 'examples' in inputs and 'classes' in outputs:
        signatures['classify'] = v1.saved_model.classification_signature_def(
            inputs['examples'], outputs['classes'], outputs['scores']
        )
    elif 'examples' in inputs and 'y' in outputs:
        signatures['regress'] = v1.saved_model.regression_signature_def(
            inputs['examples'], outputs['y']
        )
    # The signature that clients use by default must exist.
    signatures.setdefault('serving_default', next(iter(signatures.values())))
    return signatures


def _parse(
    examples: tf.Tensor,
    key: str,
    shape: tuple[int, ...],
    dtype: tf.DType,
    default: str | None = None,
) -> tf.Tensor:
    features = {key: tf.io.FixedLenFeature(shape, dtype, default)}
    return tf.io.parse_example(examples, features)[key]


def _decode(
    decode: Callable[..., Any], encoded: tf.Tensor, shape: tuple[int, ...]
) -> tf.Tensor:
    if hasattr(decode, 'batch'):
        return decode.batch(encoded)
    return tf.map_fn(
        decode, encoded, fn_output_signature=tf.TensorSpec(shape, tf.uint8)
    )
