"""A bare Estimator program whose evaluations find what was written down beforehand.

Whichever way such a program is run, by stock Estimator or by the parts here, it is
known which of its checkpoints is the best, and from which one a copy was made.
"""

from estimator_clf.compat import estimator

import numpy as np
import tensorflow as tf

from estimator_clf.evaluation.evaluator import Evaluator
from estimator_clf.hooks.checkpoint import CheckpointHook
from estimator_clf.hooks.evaluation import EvaluationListener

v1 = tf.compat.v1

#: Loss of steps 0, 1, 2, …: the best is that of step 2.
LOSSES = (1.0, 0.8, 0.1, 0.5, 0.6, 0.7, 0.8, 0.9, 0.9)


def model_fn_of(losses=LOSSES):
    """Returns a model_fn: the weight `w` counts the steps, the loss is as listed."""

    def model_fn(features, labels, mode):
        step = v1.train.get_or_create_global_step()
        w = v1.get_variable('w', [], initializer=v1.zeros_initializer())
        if mode == estimator.ModeKeys.PREDICT:
            return estimator.EstimatorSpec(mode, predictions={'w': w + features['x']})
        loss = tf.gather(tf.constant(losses), step) + 0 * tf.reduce_sum(features['x'])
        with tf.control_dependencies([loss]):  # It reads the step.
            train_op = tf.group(v1.assign_add(w, 1.0), v1.assign_add(step, 1))
        metrics = {'accuracy': v1.metrics.mean(1 - loss)}
        return estimator.EstimatorSpec(
            mode, loss=loss, train_op=train_op, eval_metric_ops=metrics
        )

    return model_fn


def input_fn():
    """One batch of one example, over and over."""
    x = np.zeros(1, np.float32)
    return tf.data.Dataset.from_tensors(({'x': x}, x)).repeat()


def once():
    """That batch once, for evaluation."""
    return input_fn().take(1)


def receiver():
    """What an export of the program takes."""
    x = v1.placeholder(tf.float32, [None])
    return estimator.export.ServingInputReceiver({'x': x}, {'x': x})


def stock(model_dir, until, hooks=(), exporters=None, losses=LOSSES, **options):
    """Trains and evaluates with Estimator's own loop.

    Args:
      model_dir: directory.
      until: the last step.
      hooks: list of hooks, or a function Estimator -> list of hooks.
      exporters: of the EvalSpec.
      losses: of each step.
      **options: throttle_secs of the EvalSpec (0); others of the RunConfig.
    """
    throttle = {'throttle_secs': options.pop('throttle_secs', 0)}
    if throttle['throttle_secs'] is None:
        throttle = {}
    config = {'save_checkpoints_steps': 1, 'log_step_count_steps': None, **options}
    classifier = estimator.Estimator(
        model_fn_of(losses), str(model_dir), estimator.RunConfig(**config)
    )
    if callable(hooks):
        hooks = hooks(classifier)
    estimator.train_and_evaluate(
        classifier,
        estimator.TrainSpec(input_fn, until, hooks),
        estimator.EvalSpec(once, exporters=exporters, start_delay_secs=0, **throttle),
    )


def here(model_dir, until, after=None, hooks=(), losses=LOSSES, every=1, **options):
    """Does the same with the parts here, in a bare Estimator.

    Args:
      model_dir: directory.
      until: the last step.
      after: function (path, step, metrics) or (Estimator, path, step, metrics), called
        after each evaluation.
      hooks: more hooks.
      losses: of each step.
      every: interval of checkpoints and evaluations.
      **options: of the RunConfig.

    Returns:
      List of (step, metrics) of the evaluations.
    """
    found = []
    config = estimator.RunConfig(
        save_checkpoints_steps=None,
        save_checkpoints_secs=None,
        log_step_count_steps=None,
        **options,
    )
    model_fn = model_fn_of(losses)
    classifier = estimator.Estimator(model_fn, str(model_dir), config)
    evaluator = Evaluator(model_fn, once)
    listener = EvaluationListener(
        evaluator,
        every,
        lambda *result: found.append(result),
        after=after and (lambda *result: after(classifier, *result)),
    )
    hook = CheckpointHook(str(model_dir), [every], [listener])
    classifier.train(input_fn, hooks=[hook, *hooks], max_steps=until)
    evaluator.close()
    return found
