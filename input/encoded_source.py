"""What sources of encoded pictures have in common: they are cut while decoded."""

import abc
import re

import tensorflow as tf

from input.decode import NOT_A_PICTURE
from input.source import Source

_BEFORE = re.compile(r'^Error in user-defined function .* with iterator: \S+: ')


class EncodedSource(Source):
    """A source whose examples come one by one, as JPEG, PNG, GIF or BMP."""

    def _decoded(self, examples, reading, load):
        """Turns examples into batches of pixels, in their order.

        Args:
          examples: dataset of dicts with 'epoch' and 'index', int64 scalars.
          reading: see `Source._batches`.
          load: function from such a dict to one with 'data', 'key', 'label', 'epoch'
            and 'index'; runs in parallel.

        Returns:
          What `Source._batches` must return.
        """

        def read(example):
            example = dict(load(example))
            data = example.pop('data')
            window = self._window(reading, example['epoch'], example['index'])
            return dict(example, image=self.decode(data, example['key'], window))

        dataset = examples.map(
            read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
        return dataset.batch(reading.share.block, drop_remainder=reading.training)

    def _batch_steps(self, steps):
        return tuple(s for s in steps if s[0] != 'resized_crop')

    @abc.abstractmethod
    def unreadable(self, limit=None):
        """Decodes every picture and returns those that cannot be.

        Args:
          limit: stop after so many.

        Returns:
          List of (where it is, what is wrong).
        """

    def explain(self, error):
        del error
        return listed(self.unreadable(limit=10), 10)


def listed(bad, limit):
    """Words a list of what cannot be read.

    Args:
      bad: list of (where it is, what is wrong).
      limit: the length at which the list was cut off.

    Returns:
      Text, or None for an empty list.
    """
    if not bad:
        return None
    more = ' (and perhaps more)' if len(bad) >= limit else ''
    count = '1 picture' if len(bad) == 1 else f'{len(bad)} pictures'
    lines = '\n  '.join(f'{where}: {why}' for where, why in bad)
    return f'{count}{more} cannot be read:\n  {lines}'


def short_reason(error):
    """Returns what a person can use of TensorFlow's message, one line."""
    # An Assert prints text with its quotes escaped.
    text = str(error.message).replace("\\'", "'")
    if NOT_A_PICTURE in text:  # Our own words, inside those of an Assert.
        return text.partition(NOT_A_PICTURE)[2].partition('>: ')[2].partition(']')[0]
    # Where in which graph it happened comes before the reason, and once more behind.
    text = text.partition('\n\t [[')[0].partition('[Op:')[0].strip()
    line = _BEFORE.sub('', text.splitlines()[-1] if text else '')
    return line.rpartition('}} ')[2].strip()[:200]
