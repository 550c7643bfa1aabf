"""Sample images, histograms and the graph, without additional steps."""

import math

from estimator_clf.compat import estimator

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.hooks.input_samples import InputSamplesHook
from estimator_clf.hooks.nan_guard import NanGuardHook, NonFiniteError
from estimator_clf.loggers.tensorboard_writer import event_writer
from tests.helpers.small_run import bare_estimator, events, line_model_fn

v1 = tf.compat.v1


def model_fn(features, labels, mode):
    v1.add_to_collection('the_images', features['image'])
    return line_model_fn({'x': features['x']}, labels, mode)


def input_fn():
    # The gray level of batch n identifies it.
    return tf.data.Dataset.range(100).map(
        lambda n: (
            {
                'image': tf.cast(tf.fill([3, 5, 4, 1], 10 * n), tf.uint8),
                'x': tf.ones([3]),
            },
            tf.ones([3]),
        )
    )


def train(directory, every, steps, collection='the_images', **options):
    writer = event_writer(str(directory))
    hook = InputSamplesHook(writer, every, collection, **options)
    bare_estimator(directory, model_fn).train(input_fn, hooks=[hook], max_steps=steps)
    writer.flush()
    return list(events(directory))


def values(found, field):
    return [
        (event.step, value.tag, getattr(value, field))
        for event in found
        for value in event.summary.value
        if value.HasField(field)
    ]


def to_gray(image):
    return int(tf.io.decode_png(image.encoded_image_string).numpy()[48, 48, 0])


def test_non_finite_weights_are_left_to_the_nan_guard(tmp_path):
    def diverged(features, labels, mode):
        w = v1.get_variable('w', initializer=[1.0, math.nan, math.inf])
        loss = tf.reduce_sum(w) + tf.reduce_sum(features['x'])
        v1.add_to_collection('shown', ('loss', loss))
        train_op = v1.assign_add(v1.train.get_or_create_global_step(), 1).op
        return estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

    writer = event_writer(str(tmp_path))
    hooks = [
        NanGuardHook('shown'),
        InputSamplesHook(writer, 1, 'no_images', histograms=True),
    ]
    with pytest.raises(NonFiniteError):
        bare_estimator(tmp_path, diverged).train(input_fn, hooks=hooks, max_steps=2)


def test_images_are_those_of_the_training_steps(tmp_path):
    images = values(train(tmp_path, 3, 7, count=2), 'image')
    # The first step of a session, then at the interval; two images in each.
    assert [step for step, _, _ in images] == [1, 3, 6]
    assert {tag for _, tag, _ in images} == {'input'}
    assert (images[0][2].height, images[0][2].width) == (96, 192)
    # Step n had batch n - 1: none was consumed for the images alone.
    assert [to_gray(image) for _, _, image in images] == [0, 20, 50]


def test_graph_is_written_once(tmp_path):
    found = train(tmp_path, 0, 2)
    assert len([e for e in found if e.graph_def]) == 1


@pytest.mark.parametrize('histograms', [False, True])
def test_histograms_are_optional(tmp_path, histograms):
    found = values(train(tmp_path, 2, 2, histograms=histograms), 'histo')
    assert [(step, tag) for step, tag, _ in found] == (
        [(1, 'weights/w'), (2, 'weights/w')] if histograms else []
    )
    if histograms:
        assert np.isfinite(found[0][2].min) and found[0][2].num == 1


def test_without_images_the_graph_is_written(tmp_path):
    found = train(tmp_path, 2, 2, collection='no such collection')
    assert values(found, 'image') == []
    assert [e for e in found if e.graph_def]
