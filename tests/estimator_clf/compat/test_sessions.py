"""Errors of a session of one process end it; those of a cluster are retried."""

import pytest

from estimator_clf.compat import _sessions, estimator  # isort: skip

import tensorflow as tf

v1 = tf.compat.v1

ERRORS = [tf.errors.AbortedError, tf.errors.UnavailableError]


class _Fails(v1.train.SessionRunHook):
    """Raises an error in the first step, and another one if that is retried."""

    def __init__(self, error):
        self._error = error

    def after_create_session(self, session, coord):
        error, self._error = self._error, AssertionError('tried again')
        if isinstance(error, AssertionError):
            raise error
        self._next = error

    def after_run(self, run_context, run_values):
        raise self._next


@pytest.mark.parametrize('kind', ERRORS)
def test_monitored_session_of_one_process_ends_at_the_first_error(kind):
    with tf.Graph().as_default():
        count = v1.train.get_or_create_global_step().assign_add(1)
        with pytest.raises(kind, match='memory object'):
            with v1.train.MonitoredTrainingSession(
                hooks=[_Fails(kind(None, None, 'no memory object'))]
            ) as session:
                session.run(count)


def test_estimator_ends_at_the_first_error(tmp_path):
    def model_fn(features, labels, mode):
        weight = v1.get_variable('w', [], initializer=v1.zeros_initializer())
        step = v1.train.get_global_step().assign_add(1)
        return estimator.EstimatorSpec(mode, loss=weight + 1.0, train_op=step)

    est = estimator.Estimator(model_fn, str(tmp_path))
    error = tf.errors.AbortedError(None, None, 'no memory object')
    with pytest.raises(tf.errors.AbortedError, match='memory object'):
        est.train(
            lambda: tf.data.Dataset.from_tensors(0.0).repeat(),
            hooks=[_Fails(error)],
            max_steps=3,
        )


@pytest.mark.parametrize(
    'creator,local',
    [
        (v1.train.ChiefSessionCreator(), True),
        (v1.train.ChiefSessionCreator(master='grpc://localhost:1'), False),
        (v1.train.WorkerSessionCreator(master='grpc://localhost:1'), False),
        (None, True),
        (object(), False),
    ],
)
def test_sessions_of_a_cluster_still_recover(creator, local):
    assert _sessions._is_local(creator) == local
