"""TensorBoard's embedding projector: images as points in the penultimate layer."""

import math
import os

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorboard.plugins.projector import EmbeddingInfo, ProjectorConfig

from estimator_clf.core.atomic_files import write_atomically
from estimator_clf.evaluation.plots.eval_callback import EvalCallback, choose
from estimator_clf.loggers import drawing

v1 = tf.compat.v1

# 2 ** 32 divided by the golden ratio: multiples of it, modulo 2 ** 32, lie as evenly as
# can be at any count (Knuth, The Art of Computer Programming, volume 3, section 6.4).
_GOLDEN = 2654435769

# What browsers take for a texture.
_SPRITE = 8192


class Projector(EvalCallback):
    """Writes what the last dense layer is given for some examples, with their images.

    The examples are spread over the whole set, in no step with its order, in which the
    classes may come one after the other; they are the same in every evaluation. The
    graph picks them, so that nothing else is copied.

    Leaves `projector_config.pbtxt` and `projector/NAME/` in a directory, of the latest
    evaluation only.
    """

    def __init__(self, directory, name, class_names, count, num_examples):
        """Makes the eval_callback.

        Args:
          directory: the run's; TensorBoard looks into directories with event files
          only.
          name: of the set of examples.
          class_names: in the order of the labels.
          count: how many examples at most.
          num_examples: how many there are.
        """
        self._directory = directory
        self._name = name
        self._names = [str(name) for name in class_names]
        self._count = min(count, num_examples)
        self._share = min(1.0, count / max(num_examples, 1))

    def fetches(self, tensors):
        wanted = choose(
            tensors, 'embeddings', 'labels', 'probabilities', 'image', 'key'
        )
        if not wanted:
            return {}
        seen = v1.get_variable(
            'board/examples_seen',
            [],
            tf.int64,
            initializer=v1.zeros_initializer(),
            trainable=False,
            collections=[v1.GraphKeys.LOCAL_VARIABLES],
            use_resource=True,
        )
        size = tf.size(wanted['labels'], tf.int64)
        after = seen.assign_add(size)
        number = after - size + tf.range(size)
        place = tf.math.floormod(number * _GOLDEN, 2**32)
        picked = place < math.ceil(self._share * 2**32)
        wanted['predicted'] = tf.argmax(wanted.pop('probabilities'), axis=1)
        return {tag: tf.boolean_mask(t, picked) for tag, t in wanted.items()}

    def on_begin(self):
        self._parts = []

    def on_batch(self, values):
        if len(values['labels']):
            self._parts.append(values)

    def on_end(self, step):
        if not self._parts:
            return
        rows = {
            tag: np.concatenate([part[tag] for part in self._parts])[: self._count]
            for tag in self._parts[0]
        }
        self._parts = []
        directory = os.path.join(self._directory, 'projector', self._name)
        os.makedirs(directory, exist_ok=True)
        points = '\n'.join(
            '\t'.join(f'{x:.4g}' for x in row) for row in rows['embeddings'].tolist()
        )
        write_atomically(os.path.join(directory, 'tensors.tsv'), points + '\n')
        write_atomically(os.path.join(directory, 'metadata.tsv'), self._metadata(rows))
        sprite, edge = draw_sprite(rows['image'])
        _save(sprite, os.path.join(directory, 'sprite.png'))
        self._enter(rows['embeddings'].shape, edge)

    def _enter(self, shape, edge):
        """Puts our entry into the list of embeddings, in place of an older one."""
        path = os.path.join(self._directory, 'projector_config.pbtxt')
        config = ProjectorConfig()
        if os.path.exists(path):
            with open(path, encoding='utf-8') as file:
                text_format.Parse(file.read(), config)
        name = f'penultimate layer ({self._name})'
        kept = [info for info in config.embeddings if info.tensor_name != name]
        entry = EmbeddingInfo(
            tensor_name=name,
            tensor_path=f'projector/{self._name}/tensors.tsv',
            tensor_shape=shape,
            metadata_path=f'projector/{self._name}/metadata.tsv',
        )
        entry.sprite.image_path = f'projector/{self._name}/sprite.png'
        entry.sprite.single_image_dim.extend([edge, edge])
        del config.embeddings[:]
        config.embeddings.extend([*kept, entry])
        write_atomically(path, str(config))

    def _metadata(self, rows):
        lines = ['class\tpredicted\tright\tkey']
        for label, predicted, key in zip(
            rows['labels'], rows['predicted'], rows['key'], strict=True
        ):
            cells = (
                self._names[label],
                self._names[predicted],
                'right' if label == predicted else 'wrong',
                key.decode(errors='replace'),
            )
            lines.append('\t'.join(' '.join(cell.split()) for cell in cells))
        return '\n'.join(lines) + '\n'


def draw_sprite(images):
    """Lays images out in a square, as the projector wants them.

    Args:
      images: uint8 [N, H, W, C].

    Returns:
      (`PIL.Image.Image`, edge of one image in pixels).
    """
    columns = math.ceil(math.sqrt(len(images)))
    edge = max(1, min(32, _SPRITE // columns))
    sprite, _ = drawing.canvas(columns * edge, columns * edge)
    sprite.paste(drawing.grid(images, edge, columns))
    return sprite, edge


def _save(picture, path):
    partial = path + '.partial'
    picture.save(partial, 'PNG')
    os.replace(partial, path)
