"""The hooks of a training session, in their order."""

from collections.abc import Callable, Sequence

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

from estimator_clf.config.config import Config
from estimator_clf.config.step_plan import StepPlan
from estimator_clf.core import intervals, signals
from estimator_clf.evaluation.run_evaluations import Evaluations
from estimator_clf.hooks.checkpoint import CheckpointHook
from estimator_clf.hooks.example_keys import ExampleKeysHook
from estimator_clf.hooks.input_samples import InputSamplesHook
from estimator_clf.hooks.nan_guard import NanGuardHook
from estimator_clf.hooks.profile import ProfileHook
from estimator_clf.hooks.train_metrics import TrainMetricsHook
from estimator_clf.loggers import tensorboard_hparams, tensorboard_writer
from estimator_clf.training.callbacks import Callback
from estimator_clf.training.model_selection import ModelSelection
from input.dataset_info import DatasetInfo

v1 = tf.compat.v1


def make_training_hooks(
    config: Config,
    plan: StepPlan,
    info: DatasetInfo,
    evaluations: Evaluations,
    selection: ModelSelection,
    stop: signals.Stop,
    callback: Callback,
    on_train_metrics: Callable,
    first: Sequence = (),
) -> list:
    """Makes the hooks of one training session.

    Args:
      config: settings of the run.
      plan: its intervals.
      info: description of its data.
      evaluations: evaluations that follow checkpoints.
      selection: best checkpoints and early stopping.
      stop: requested by a signal.
      callback: receives steps and messages.
      on_train_metrics: function (step, metrics), called at each logging interval.
      first: hooks that set initial weights, before the checkpoint of step 0.

    Returns:
      List of `SessionRunHook`s.
    """
    model_dir = config.run.model_dir
    writer = tensorboard_writer.event_writer(model_dir)
    # TensorBoard then drops what a killed run wrote about later steps.
    writer.add_session_log(
        v1.SessionLog(status=v1.SessionLog.START), plan.start_step + 1
    )
    tensorboard_hparams.write_start(
        writer, config, plan.total_steps, not info.class_names
    )
    saved = [plan.save_every, *evaluations.intervals()]
    metrics_hook = TrainMetricsHook(
        [plan.log_every, *saved],
        config.batch_size,
        on_train_metrics,
        on_step=callback.on_step,
    )
    listeners = evaluations.listeners(
        after={plan.eval_split or '': selection.save_if_best}, clock=metrics_hook
    )
    hooks = [
        *first,
        NanGuardHook(),
        metrics_hook,
        InputSamplesHook(writer, plan.sample_every, histograms=config.run.histograms),
        # After the metrics: the line about a step is written before its checkpoint.
        CheckpointHook(model_dir, saved, listeners),
        signals.StopHook(stop, callback.on_stop),
        signals.StopHook(
            selection.stop_early,
            lambda reason: callback.on_message(f'Stopping early: {reason}.'),
        ),
    ]
    if config.run.record_keys:
        hooks.insert(0, ExampleKeysHook(model_dir))
    steps = intervals.step_range(config.run.profile, 'profile')
    if steps:
        # First, so that the work of the other hooks is not booked on the step.
        first_step, last_step = steps
        hooks.insert(
            0, ProfileHook(model_dir, first_step, last_step, callback.on_message)
        )
    return hooks
