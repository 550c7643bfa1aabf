"""Embeddings of the penultimate layer for TensorBoard's projector."""

import math
import os
from collections.abc import Sequence

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from PIL import Image
from tensorboard.plugins.projector import EmbeddingInfo, ProjectorConfig

from estimator_clf.core.atomic_files import write_atomically
from estimator_clf.evaluation.local_variables import local_variable
from estimator_clf.evaluation.plots.eval_callback import (
    EvalCallback,
    Tensors,
    Values,
    select_tensors,
)
from estimator_clf.loggers import drawing

v1 = tf.compat.v1

# 2 ** 32 divided by the golden ratio: its multiples modulo 2 ** 32 are spread as evenly
# as possible for any count (Knuth, The Art of Computer Programming, volume 3, section
# 6.4).
_GOLDEN = 2654435769

# Largest texture of common browsers, in pixels.
_MAX_SPRITE_SIZE = 8192


class Projector(EvalCallback):
    """Writes the input of the last dense layer for some examples, with their images.

    The examples are spread evenly over the set by a hash of their number, since classes
    may come one after the other; they are the same in every evaluation. The graph
    selects them, so that no others are copied.

    Writes `projector_config.pbtxt` and `projector/NAME/` of the latest evaluation.
    """

    def __init__(
        self,
        directory: str,
        name: str,
        class_names: Sequence[str],
        count: int,
        num_examples: int,
    ) -> None:
        """Stores the arguments.

        Args:
          directory: of the run; TensorBoard reads only directories with event files.
          name: of the evaluation set.
          class_names: in the order of the labels.
          count: maximum number of examples.
          num_examples: number of examples in the set.
        """
        self._directory = directory
        self._name = name
        self._names = [str(name) for name in class_names]
        self._count = min(count, num_examples)
        self._share = min(1.0, count / max(num_examples, 1))

    def fetches(self, tensors: Tensors) -> Tensors:
        selected = select_tensors(
            tensors, 'embeddings', 'labels', 'probabilities', 'image', 'key'
        )
        if not selected:
            return {}
        examples_seen = local_variable('board/examples_seen', dtype=tf.int64)
        size = tf.size(selected['labels'], tf.int64)
        after = examples_seen.assign_add(size)
        number = after - size + tf.range(size)
        position = tf.math.floormod(number * _GOLDEN, 2**32)
        mask = position < math.ceil(self._share * 2**32)
        selected['predicted'] = tf.argmax(selected.pop('probabilities'), axis=1)
        return {tag: tf.boolean_mask(t, mask) for tag, t in selected.items()}

    def on_begin(self) -> None:
        self._batches: list[Values] = []

    def on_batch(self, values: Values) -> None:
        if len(values['labels']):
            self._batches.append(values)

    def on_end(self, step: int) -> None:
        if not self._batches:
            return
        rows = {
            tag: np.concatenate([batch[tag] for batch in self._batches])[: self._count]
            for tag in self._batches[0]
        }
        self._batches = []
        directory = os.path.join(self._directory, 'projector', self._name)
        os.makedirs(directory, exist_ok=True)
        points = '\n'.join(
            '\t'.join(f'{x:.4g}' for x in row) for row in rows['embeddings'].tolist()
        )
        write_atomically(os.path.join(directory, 'tensors.tsv'), points + '\n')
        write_atomically(os.path.join(directory, 'metadata.tsv'), self._metadata(rows))
        sprite, edge = render_sprite(rows['image'])
        _save(sprite, os.path.join(directory, 'sprite.png'))
        self._update_config(rows['embeddings'].shape, edge)

    def _update_config(self, shape: tuple[int, ...], edge: int) -> None:
        """Adds or replaces this set in the list of embeddings."""
        path = os.path.join(self._directory, 'projector_config.pbtxt')
        config = ProjectorConfig()
        if os.path.exists(path):
            with open(path, encoding='utf-8') as file:
                text_format.Parse(file.read(), config)
        name = f'penultimate layer ({self._name})'
        others = [info for info in config.embeddings if info.tensor_name != name]
        entry = EmbeddingInfo(
            tensor_name=name,
            tensor_path=f'projector/{self._name}/tensors.tsv',
            tensor_shape=shape,
            metadata_path=f'projector/{self._name}/metadata.tsv',
        )
        entry.sprite.image_path = f'projector/{self._name}/sprite.png'
        entry.sprite.single_image_dim.extend([edge, edge])
        del config.embeddings[:]
        config.embeddings.extend([*others, entry])
        write_atomically(path, str(config))

    def _metadata(self, rows: Values) -> str:
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


def render_sprite(images: np.ndarray) -> tuple[Image.Image, int]:
    """Arranges images in a square, the layout that the projector expects.

    Args:
      images: uint8 [N, H, W, C].

    Returns:
      (sprite, side of one image in pixels).
    """
    columns = math.ceil(math.sqrt(len(images)))
    edge = max(1, min(32, _MAX_SPRITE_SIZE // columns))
    sprite, _ = drawing.canvas(columns * edge, columns * edge)
    sprite.paste(drawing.grid(images, edge, columns))
    return sprite, edge


def _save(image: Image.Image, path: str) -> None:
    partial = path + '.partial'
    image.save(partial, 'PNG')
    os.replace(partial, path)
