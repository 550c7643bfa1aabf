"""What sources of encoded images have in common: they are cut while decoded."""

import abc
import functools

import numpy as np
import tensorflow as tf

from estimator_clf.core.devices import session_config
from input.images.decode import (
    WINDOW_DRAWS,
    central_window,
    random_window,
    whole_window,
)
from input.images.tf_messages import short_reason
from input.sampling.stateless_random import ExampleRng, PrecomputedRng
from input.sources.base import DataSource


class EncodedSource(DataSource):
    """A source whose examples come one by one, as JPEG, PNG, GIF or BMP."""

    def _decoded(self, batches, reading):
        """Decodes batches of images, in their order.

        Args:
          batches: dataset of dicts with 'data' (what `_read` takes), 'key', 'label',
            'epoch' and 'index', [b] each, and, where keys are not unique, 'name'.
          reading: see `DataSource._batches`.

        Returns:
          What `DataSource._batches` must return.
        """
        training = reading.training
        batches = batches.map(functools.partial(self._draw, reading))
        if self.corrupt_images is None:
            examples = batches.unbatch().map(
                lambda example: self._with_pixels(reading, dict(example)),
                num_parallel_calls=tf.data.AUTOTUNE,
                deterministic=True,
            )
            return examples.batch(reading.share.block, drop_remainder=training)
        # Several batches at a time, each by one thread after the other: tuning does not
        # reach into what is done with a batch.
        batches = batches.map(
            lambda batch: self._skip_corrupt(reading, batch),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        return batches if training else batches.filter(lambda b: tf.size(b['key']) > 0)

    def _read(self, data):
        """From what an example has as 'data' to the encoded image."""
        return data

    def _draw(self, reading, batch):
        """Draws for the windows of a batch at once; see `input.sampling.stateless_random.PrecomputedRng`."""
        if self._min_area(reading) is None:
            return batch
        draw = ExampleRng(reading.seed, batch['epoch'], batch['index'])
        return dict(batch, drawn=draw.ahead(WINDOW_DRAWS))

    def _min_area(self, reading):
        """The amount of `resized_crop`; None if it is not wanted."""
        return dict(reading.steps).get('resized_crop')

    def _window(self, reading, example):
        """The window of one image: random in training, if wanted."""
        aspect = self.image_shape[1] / self.image_shape[0]
        min_area = self._min_area(reading)
        if min_area is None:
            return central_window(reading.eval_crop, aspect)
        return random_window(
            PrecomputedRng(WINDOW_DRAWS, example['drawn']), min_area, aspect
        )

    def _with_pixels(self, reading, example):
        """Replaces 'data' of an example by 'image'."""
        window = self._window(reading, example)
        example.pop('drawn', None)
        data = self._read(example.pop('data'))
        return dict(example, image=self.decode(data, example['key'], window))

    def _skip_corrupt(self, reading, batch):
        """Decodes a batch; what cannot be is left out, or another takes its place.

        The dataset inside catches the errors. One for each batch costs nothing that
        could be measured, where one for each image took 2.7 times as long for
        images of 32 pixels.

        Args:
          reading: see `DataSource._batches`.
          batch: element of the dataset that `_decoded` is given, drawn for.

        Returns:
          The dict with 'image' in place of 'data'.
        """
        count = tf.size(batch['key'])

        def decode(place, example):
            return place, self._with_pixels(reading, dict(example))['image']

        good = tf.data.Dataset.from_tensor_slices((tf.range(count), batch))
        good = good.map(decode).ignore_errors(log_warning=False)
        good = good.batch(reading.share.block)
        none = tf.data.Dataset.from_tensors(
            (tf.zeros([0], tf.int32), tf.zeros([0, *self.image_shape], tf.uint8))
        )
        places, images = good.concatenate(none).take(1).get_single_element()
        return self._fill_with_valid(reading, batch, places, images)

    def _fill_with_valid(self, reading, batch, places, images):
        """Completes a batch of which some images could not be decoded.

        Args:
          reading: see `DataSource._batches`.
          batch: as `_skip_corrupt` has it.
          places: int32 [good], increasing: where those are that could be decoded.
          images: their pixels, uint8 [good, H, W, C].

        Returns:
          As `_skip_corrupt`.
        """
        batch = dict(batch)
        batch.pop('drawn', None)
        data = batch.pop('data')
        names = batch.pop('name', batch['key'])
        count = tf.size(batch['key'])

        def repaired():
            note = tf.numpy_function(
                lambda *args: self._record_corrupt(reading.training, *args),
                [data, batch['key'], names, places],
                tf.int64,
            )
            with tf.control_dependencies([note]):
                if not reading.training:
                    kept = {k: tf.gather(v, places) for k, v in batch.items()}
                    return dict(kept, image=tf.identity(images))
                # The n-th place takes the n-th good one, counted round and round.
                number = tf.range(count) % tf.size(places)
            number = tf.tensor_scatter_nd_update(
                number, places[:, None], tf.range(tf.size(places))
            )
            place = tf.gather(places, number)
            return dict(
                batch,  # With its own draw, so that the two do not look the same.
                image=tf.gather(images, number),
                key=tf.gather(batch['key'], place),
                label=tf.gather(batch['label'], place),
            )

        result = tf.cond(
            tf.equal(tf.size(places), count),
            lambda: dict(batch, image=tf.identity(images)),
            repaired,
        )
        size = reading.share.block if reading.training else None
        for tensor in result.values():
            tensor.set_shape([size, *tensor.shape[1:]])
        return result

    def _record_corrupt(self, training, data, keys, names, places):
        """Tells `corrupt_images` which images of a batch are not at `places`."""
        good = set(places.tolist())
        keys, names = (
            [text.decode('utf-8', 'replace') for text in texts]
            for texts in (keys, names)
        )
        names = [
            name if name == key else f'{key} ({name})'
            for key, name in zip(keys, names, strict=True)
        ]
        for place, name in enumerate(names):
            if place not in good:
                self.corrupt_images.note(
                    name, lambda p=place: self._reason(data[p]), keys[place]
                )
        if training and not good:
            self.corrupt_images.raise_no_valid_examples(names)
        return np.int64(len(names) - len(good))

    def _reason(self, data):
        """Says why an image cannot be decoded, from 'data' of its example."""
        # Threads of its own: those of all sessions may be waiting for this answer.
        config = session_config(
            rewrite=False,
            use_per_session_threads=True,
            intra_op_parallelism_threads=1,
            inter_op_parallelism_threads=1,
        )
        with tf.Graph().as_default():
            given = tf.compat.v1.placeholder(tf.string, [])
            # All of it: damage may lie outside the middle.
            image = self.decode(self._read(given), window=whole_window)
            with tf.compat.v1.Session(config=config) as session:
                try:
                    session.run(image.op, {given: data})
                except tf.errors.OpError as error:
                    return short_reason(error)
        return 'could not be read a moment ago'

    def _batch_steps(self, steps):
        return tuple(s for s in steps if s[0] != 'resized_crop')

    @abc.abstractmethod
    def unreadable(self, limit=None):
        """Decodes every image and returns those that cannot be.

        Args:
          limit: stop after so many.

        Returns:
          List of (where it is, what is wrong).
        """

    def explain(self, error):
        del error
        return self._stopped() or listed(self.unreadable(limit=10), 10)

    def _stopped(self):
        return self.corrupt_images and self.corrupt_images.stopped_by


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
    count = '1 image' if len(bad) == 1 else f'{len(bad)} images'
    lines = '\n  '.join(f'{where}: {why}' for where, why in bad)
    return f'{count}{more} cannot be read:\n  {lines}'
