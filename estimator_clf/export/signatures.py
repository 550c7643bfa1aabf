"""What a served model takes and gives: the signatures, over one graph.

| signature | method | input | outputs |
| --- | --- | --- | --- |
| `serving_default` | predict | `image_bytes` string [N] | all |
| `tensor` | predict | `image` uint8 [N, H, W, C] | all |
| `examples` | predict | `examples` string [N], serialized `tf.Example` | all |
| `classify` | classify | `inputs`, the same | `classes`, `scores` |

All outputs: `classes` string [N, k], `scores` float32 [N, k], `class_index` int64 [N],
`probabilities` and `logits` float32 [N, classes]. A regression has `serving_default`
(`x` float32 [N, D] to `y` float32 [N]), `examples`, and `regress` for `classify`.

The decoder of the examples feeds that of the images, which feeds the network; each
signature enters this chain at another place, since a fed tensor need not be a
placeholder. So there is one set of weights, and one graph to get right.
"""

import tensorflow as tf

v1 = tf.compat.v1

# Feature of a served `tf.Example` that holds the image, as in our own TFRecords.
IMAGE_KEY = 'image/encoded'
# Feature that holds the numbers of a regression.
VALUES_KEY = 'x'


def receivers(info, decode):
    """Builds what comes before the network.

    Args:
      info: `DatasetInfo`.
      decode: see `export_saved_model`; None for regression.

    Returns:
      (features for the model_fn, dict name -> tensor to feed).
    """
    # On the CPU wherever the network runs: parsers and decoders are there alone.
    with tf.device('/cpu:0'):
        examples = v1.placeholder(tf.string, [None], 'examples')
        if decode is None:
            values = _parsed(examples, VALUES_KEY, info.image_shape, tf.float32)
            x = tf.identity(values, 'x')
            return {'x': x}, {'examples': examples, 'x': x}
        # A missing image is an empty one, whose error names its place.
        encoded = _parsed(examples, IMAGE_KEY, [], tf.string, '')
        encoded = tf.identity(encoded, 'image_bytes')
        images = _decoded(decode, encoded, info.image_shape)
    images = tf.identity(images, 'image')
    images.set_shape([None, *info.image_shape])
    return {'image': images}, {
        'examples': examples,
        'image_bytes': encoded,
        'image': images,
    }


def tensor_receiver(info, dtype=None):
    """Builds an input for pixels alone, for readers that know no strings.

    Args:
      info: `DatasetInfo`.
      dtype: of the input, if not uint8 for pixels and float32 for numbers.

    Returns:
      As `receivers`.
    """
    name, usual = ('image', tf.uint8) if info.class_names else ('x', tf.float32)
    dtype = dtype or usual
    tensor = v1.placeholder(dtype, [None, *info.image_shape], name)
    return {name: tensor}, {name: tensor}


def signature_defs(inputs, outputs):
    """Makes the signatures.

    Args:
      inputs: dict of tensors as `receivers` or `tensor_receiver` returned it.
      outputs: dict name -> tensor: the predictions.

    Returns:
      dict name -> `SignatureDef`.
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
    # A reader that looks for no name takes this one.
    signatures.setdefault('serving_default', next(iter(signatures.values())))
    return signatures


def _parsed(examples, key, shape, dtype, default=None):
    features = {key: tf.io.FixedLenFeature(shape, dtype, default)}
    return tf.io.parse_example(examples, features)[key]


def _decoded(decode, encoded, shape):
    if hasattr(decode, 'batch'):
        return decode.batch(encoded)
    return tf.map_fn(
        decode, encoded, fn_output_signature=tf.TensorSpec(shape, tf.uint8)
    )
