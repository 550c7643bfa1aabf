"""Checkpoints that the phases write without a training step."""

import os
from collections.abc import Callable, Sequence
from typing import Any

from estimator_clf.compat import estimator

import numpy as np
import tensorflow as tf

from estimator_clf.core.hardware.devices import session_config
from estimator_clf.core.variable_patterns import name_of

v1 = tf.compat.v1

_NAME = 'model.ckpt'


def path_of(model_dir: str, step: int) -> str:
    """Returns the path prefix of a checkpoint of a run."""
    return os.path.join(model_dir, f'{_NAME}-{step}')


def write_initial(
    model_fn: Callable,
    input_fn: Callable[[], tf.data.Dataset],
    hooks: Sequence[Any],
    model_dir: str,
) -> str:
    """Writes the checkpoint of step 0 with the initial weights of a training.

    Args:
      model_fn: function (features, labels, mode) -> EstimatorSpec.
      input_fn: that of the training; nothing is read.
      hooks: `SessionRunHook`s that set initial weights, in their order.
      model_dir: directory of the run.

    Returns:
      Path prefix of the checkpoint.
    """
    with tf.Graph().as_default():
        v1.train.get_or_create_global_step()
        features, labels = tf.nest.map_structure(
            lambda s: v1.placeholder(s.dtype, s.shape), input_fn().element_spec
        )
        features.pop('input_wait', None)
        model_fn(features, labels, mode=estimator.ModeKeys.TRAIN)
        for hook in hooks:
            hook.begin()
        saver = v1.train.Saver(sharded=True, allow_empty=True)
        with v1.Session(config=session_config()) as session:
            session.run([v1.global_variables_initializer()])
            for hook in hooks:
                hook.after_create_session(session, None)
            return saver.save(
                session,
                os.path.join(model_dir, _NAME),
                global_step=0,
                write_meta_graph=False,
            )


def copy_as_step(checkpoint: str, model_dir: str, step: int) -> str:
    """Writes the variables of a checkpoint as the checkpoint of another step.

    Args:
      checkpoint: path prefix.
      model_dir: where the new one becomes the latest checkpoint.
      step: its global step.

    Returns:
      Path prefix of the new checkpoint.
    """
    reader = tf.train.load_checkpoint(checkpoint)
    with tf.Graph().as_default():
        variables, values = [], []
        for name in sorted(reader.get_variable_to_shape_map()):
            value = np.asarray(reader.get_tensor(name))
            if name == 'global_step':
                value = np.asarray(step, value.dtype)
            variables.append(
                v1.get_variable(
                    name,
                    value.shape,
                    value.dtype,
                    initializer=v1.zeros_initializer(),
                    use_resource=True,
                )
            )
            values.append(value)
        assign = {name_of(v): v for v in variables}
        saver = v1.train.Saver(assign, sharded=True)
        states = tf.train.get_checkpoint_state(model_dir)
        if states:
            saver.recover_last_checkpoints(states.all_model_checkpoint_paths)
        with v1.Session(config=session_config()) as session:
            for variable, value in zip(variables, values, strict=True):
                variable.load(value, session)
            return saver.save(
                session,
                os.path.join(model_dir, _NAME),
                global_step=step,
                write_meta_graph=False,
            )
