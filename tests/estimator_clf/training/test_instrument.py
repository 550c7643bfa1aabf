"""What passes through a model_fn is put where hooks find it."""

from estimator_clf.compat import estimator

import pytest
import tensorflow as tf

from estimator_clf.core.graph_collections import (
    EXAMPLE_IMAGES,
    EXAMPLE_KEYS,
    TRAIN_METRICS,
)
from estimator_clf.training.instrument import instrument

v1 = tf.compat.v1

TRAIN, EVAL, PREDICT = 'train', 'eval', 'infer'


def call(features, mode, labels=None, times=1):
    """Returns what the model_fn saw, and the graph that it was called in."""
    seen = []

    def model_fn(features, labels, mode):
        seen.append((features, labels, mode))
        return 'spec'

    with tf.Graph().as_default() as graph:
        features = features()
        for _ in range(times):
            assert instrument(model_fn)(features, labels, mode) == 'spec'
    return features, seen, graph


def all_features():
    return {
        'image': tf.zeros([2, 4, 4, 1], tf.uint8),
        'key': tf.constant(['a', 'b']),
        'input_wait': tf.constant(0.5, tf.float64),
        'more': tf.constant(1),
    }


def test_training_fills_the_collections():
    features, seen, graph = call(all_features, TRAIN, labels='labels')
    assert graph.get_collection(EXAMPLE_KEYS) == [features['key']]
    assert graph.get_collection(EXAMPLE_IMAGES) == [features['image']]
    ((name, tensor),) = graph.get_collection(TRAIN_METRICS)
    assert (name, tensor) == ('input_wait', features['input_wait'])
    ((inside, labels, mode),) = seen
    assert set(inside) == {'image', 'key', 'more'}
    assert (labels, mode) == ('labels', TRAIN)
    assert 'input_wait' in features  # The caller's own dict stays as it was.


@pytest.mark.parametrize('mode', [EVAL, PREDICT])
def test_other_modes_pass_by_untouched(mode):
    features, seen, graph = call(all_features, mode)
    assert seen[0][0] is features
    assert not graph.get_all_collection_keys()


def test_every_replica_has_keys_and_the_first_one_a_clock():
    _, _, graph = call(all_features, TRAIN, times=2)
    assert len(graph.get_collection(EXAMPLE_KEYS)) == 2
    assert len(graph.get_collection(TRAIN_METRICS)) == 1


def test_features_that_are_not_there_are_not_missed():
    _, seen, graph = call(lambda: {'x': tf.zeros([2])}, TRAIN)
    assert set(seen[0][0]) == {'x'}
    assert not graph.get_all_collection_keys()


def test_features_that_are_a_tensor():
    features, seen, _ = call(lambda: tf.zeros([2, 3]), TRAIN)
    assert seen[0][0] is features


def test_a_metagraph_can_hold_the_collections(caplog):
    _, _, graph = call(all_features, TRAIN)
    with graph.as_default():
        v1.train.export_meta_graph()
    assert TRAIN_METRICS not in caplog.text


def test_estimator_takes_it_for_a_model_fn(tmp_path):
    def model_fn(features, labels, mode):
        raise NotImplementedError

    estimator.Estimator(instrument(model_fn), str(tmp_path))
