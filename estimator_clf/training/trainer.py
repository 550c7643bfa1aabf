"""The training run: load, resume, warm-start, train, evaluate, export.

    results = train_and_evaluate(make_config(dataset='digits'), callbacks=[...])

Everything is written into `config.run.model_dir`; README.md lists the files.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from estimator_clf.compat import estimator

import tensorflow as tf

from estimator_clf.checkpoints.recovery import recover, step_back, sweep
from estimator_clf.config.config import Config
from estimator_clf.config.groups.optimizer import DEFAULT_BATCH_SIZE
from estimator_clf.config.step_plan import make_plan
from estimator_clf.core import signals
from estimator_clf.core.errors import RunError
from estimator_clf.core.file_lock import DirectoryLock
from estimator_clf.core.hardware import devices
from estimator_clf.core.tf_errors import translate_tf_errors
from estimator_clf.evaluation.eval_sets import make_eval_sets
from estimator_clf.evaluation.plots.factory import make_eval_callbacks
from estimator_clf.evaluation.run_evaluations import Evaluations
from estimator_clf.hooks.nan_guard import NanGuardHook, NonFiniteError
from estimator_clf.loggers import tensorboard_hparams, tensorboard_writer
from estimator_clf.loggers.corrupt_images import skip_corrupt_images
from estimator_clf.loggers.jsonl import MetricsLog, without_counts
from estimator_clf.training import run_directory, tf_config
from estimator_clf.training.callbacks import Callback, CallbackList
from estimator_clf.training.data.class_gaps import class_gaps
from estimator_clf.training.data.data_summary import data_summary, training_roles
from estimator_clf.training.data.datasets import open_directory, open_source
from estimator_clf.training.data_dependent_init import make_init_hook
from estimator_clf.training.exports import RunExporter
from estimator_clf.training.feature_cache import FeatureCache
from estimator_clf.training.instrument import instrument
from estimator_clf.training.model_selection import ModelSelection
from estimator_clf.training.models import (
    build_decoder,
    build_model_fn,
    published_weights,
    resolve_auto,
)
from estimator_clf.training.nan_rollback import NanRollback
from estimator_clf.training.resource_errors import translate_resource_errors
from estimator_clf.training.step_loop import make_step_loop
from estimator_clf.training.training_hooks import make_training_hooks
from estimator_clf.training.transfer.hint import recipe_hint
from estimator_clf.warm_start.from_config import warm_start_of

if TYPE_CHECKING:
    from input.sources.base import DataSource

v1 = tf.compat.v1


@dataclasses.dataclass(frozen=True)
class Results:
    """Outcome of a run.

    Attributes:
      step: the last step.
      metrics: metrics of the last weights, by split and name.
      export_path: directory of the exported SavedModel, or None.
      stopped: name of the signal that stopped the run before its end, or None.
    """

    step: int
    metrics: Mapping[str, Mapping[str, float]]
    export_path: str | None
    stopped: str | None = None


def train_and_evaluate(
    config: Config,
    callbacks: Iterable[Callback] = (),
    *,
    source: 'DataSource | None' = None,
    make_model_fn: Callable | None = None,
) -> Results:
    """Trains, evaluates, checkpoints and exports; resumes an interrupted run.

    SIGTERM and SIGINT stop it after the current step, with a checkpoint; before the
    first step at once.

    Args:
      config: settings of the run.
      callbacks: receive its progress.
      source: `input.sources.base.DataSource` to train on; by default the data that the
        settings name.
      make_model_fn: function (config, DatasetInfo, total steps, learning rate scale)
        -> model_fn, in place of `training.models.build_model_fn`.

    Returns:
      `Results`.

    Raises:
      ConfigError: invalid settings, or a model_dir of other settings or data.
      DataError: invalid data.
      RunError: what stopped the run: unreadable data, a full disk, a non-finite loss,
        an export that differs from its checkpoint.
    """
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(signals.on_signals())
        trainer = trainer_class(config)(config, CallbackList(callbacks), stop)
        stack.callback(trainer.close)
        stack.enter_context(translate_tf_errors(trainer.sources))
        stack.enter_context(translate_resource_errors(trainer))
        try:
            with stop.raise_immediately():
                trainer.prepare_directory()
                trainer.load_data(source)
                trainer.build_model(make_model_fn or build_model_fn)
                trainer.initialize_weights()
                trainer.prepare_evaluation()
                trainer.start_or_resume()
            trainer.train()
            metrics = trainer.evaluate()
            path = None
            if config.exports.export and not stop:
                with stop.raise_immediately():
                    path = trainer.export()
        except signals.Stopped:
            # The step of a corrupt checkpoint that is not repaired yet is unreadable.
            step = 0
            with contextlib.suppress(tf.errors.OpError):
                step = trainer.last_step()
            return Results(step, {}, None, stop.requested)
        return Results(trainer.last_step(), metrics, path, stop.requested)


def trainer_class(config: Config) -> 'type[Trainer]':
    """Returns the class whose stages make a run of these settings."""
    if not config.transfer.transfer:
        return Trainer
    # Here, because it derives from `Trainer`.
    from estimator_clf.training.transfer.phases import TransferTrainer

    return TransferTrainer


class Trainer:
    """The stages of a run, in the order in which `train_and_evaluate` calls them.

    Attributes:
      config: settings of the run, with data-dependent values once data is loaded.
      sources: the `DataSource`s that are open, the training data first.
      plan: `StepPlan`.
      info: `DatasetInfo` of the training data.
    """

    def __init__(self, config: Config, callback: Callback, stop: signals.Stop):
        self.config = config
        self.sources: list[DataSource] = []
        self._callback = callback
        self._stop = stop
        self._lock = DirectoryLock(config.run.model_dir)
        self._closers: list[Callable[[], None]] = [self._lock.release]
        self._features: FeatureCache | None = None

    def close(self) -> None:
        """Releases what the run holds, however it ends."""
        for close in reversed(self._closers):
            close()

    def last_step(self) -> int:
        """Returns the step of the latest checkpoint, 0 without one."""
        return run_directory.latest_step(self.config.run.model_dir)

    # -- Load and resume ---------------------------------------------------------------

    def prepare_directory(self) -> None:
        """Locks the directory and repairs what a killed run left there."""
        tf_config.refuse()
        self._lock.acquire()
        self.replicas = devices.set_up(
            self.config.hardware.device, self.config.hardware.replicas
        )
        run_directory.check_resume(self.config)
        sweep(self.config.run.model_dir)
        damage = recover(self.config.run.model_dir)
        if damage:
            self._callback.on_message(damage)

    def load_data(self, source: 'DataSource | None' = None) -> None:
        """Opens the data and derives from it the length of the run in steps."""
        known = run_directory.known_data(self.config)
        self.source = source or open_source(self.config, resumed=known)
        for note in self.source.notes:
            self._callback.on_message(note)
        self.sources.append(self.source)
        self.config = config = self._resolve_auto()
        hint = recipe_hint(config, self.source)
        if hint and not self.last_step():
            self._callback.on_message(hint)
        self.plan = make_plan(config, self.source, self.last_step())
        log = skip_corrupt_images(
            self.source,
            config.data.max_corrupt_images,
            self._callback.on_message,
            config.run.model_dir,
        )
        self._closers.append(log.flush)
        for text in self.source.losses():
            self._callback.on_message(text)
        # Checks the input's settings before anything is written.
        self._train_input = self._make_train_input()
        self.source.keep_statistics(known)
        self.info = dataclasses.replace(
            self.source.info,
            fingerprints={s: self.source.identity(s) for s in self.source.num_examples},
        )
        run_directory.check(config, self.info)
        notes = [
            *self._summary(),
            *run_directory.resume_notes(config, self.info),
            *class_gaps(self.source, config.data.train_split, self.plan.eval_split),
        ]
        for note in notes:
            self._callback.on_message(note)

    def _summary(self):
        plan, batch_size = self.plan, self.config.batch_size
        split = self.config.data.train_split
        return [
            *data_summary(self.source, training_roles(split, plan.eval_split)),
            f'Batches: {batch_size} examples; {plan.steps_per_epoch:.4g} steps per '
            f'epoch, {plan.total_steps} steps in all',
        ]

    def _resolve_auto(self):
        before = self.config.to_flat()
        config = resolve_auto(
            self.config,
            self.source,
            self.replicas,
            run_directory.known_config(self.config),
        )
        for name in ('precision', 'eval_precision', 'class_weights'):
            value = config.to_flat()[name]
            if value != before[name]:
                self._callback.on_message(f'`{name}={before[name]}`: {value}')
        if before['batch_size'] is None and config.batch_size != DEFAULT_BATCH_SIZE:
            examples = self.source.num_examples.get(config.data.train_split)
            self._callback.on_message(
                f'`batch_size` is {config.batch_size} instead of {DEFAULT_BATCH_SIZE}: '
                f'there are {examples} training examples'
            )
        validation = config.data.validation_split
        if validation and 'validation' not in self.source.num_examples:
            self._callback.on_message(
                f'`validation_split={validation:g}` holds out none of so few examples'
            )
        return config

    # -- Model and initial weights -----------------------------------------------------

    def build_model(self, make_model_fn: Callable) -> None:
        """Builds the model_fn, and the exporter that shares it."""
        config = self.config
        self._make_model_fn = make_model_fn
        self._rollback = NanRollback(
            config.run.model_dir, config.run.max_rollbacks, config.run.rollback_factor
        )
        # Evaluation and export do not use the learning rate: its scale stays 1.
        self.model_fn = make_model_fn(config, self.info, self.plan.total_steps, 1.0)
        self._exporter = RunExporter(
            config,
            self.source,
            self.model_fn,
            build_decoder(config, self.info),
            self._callback.on_message,
        )

    def initialize_weights(self) -> None:
        """Prepares a warm start, data-dependent initialization, cached features."""
        config = self.config
        self._warm_start = warm_start_of(
            config,
            self.model_fn,
            self._train_input,
            self._callback.on_message,
            lambda: published_weights(config),
        )
        self._init_hook = make_init_hook(config, self.source, self.model_fn)
        if config.optimization.cache_features:
            run_directory.take(config, self._lock)  # Features are written into it.
            self._features = FeatureCache(
                config,
                self.source,
                self.model_fn,
                self._init_hook,
                self._warm_start,
                self._callback.on_message,
                self._stop,
            )

    # -- Evaluation and model selection ------------------------------------------------

    def prepare_evaluation(self) -> None:
        """Sets up evaluations, and what they select: best checkpoints, early stop."""
        config = self.config
        self._log = MetricsLog(config.run.model_dir)
        sets = make_eval_sets(
            config, self.source, self.plan, self._open_directory, self._features
        )
        self.info = run_directory.with_eval_sets(
            config, self.info, {s.name: s.identity for s in sets if s.identity}
        )
        self._evaluations = Evaluations(
            self.model_fn,
            sets,
            config.run.model_dir,
            self._log,
            self._on_evaluation,
            self._stop,
            lambda known: make_eval_callbacks(config, self.info.class_names, known),
        )
        self._closers.append(self._evaluations.close)
        self._selection = ModelSelection(config, self.plan, self._evaluations)

    def start_or_resume(self) -> None:
        """Writes the settings, or restores the state of the run that is resumed."""
        config = self.config
        run_directory.claim(config, self.info, self._lock)
        self._log.rewind(self.plan.start_step)
        if not self._latest_checkpoint():  # A user removed them, to start over.
            self._rollback.forget()
        size = self.source.num_examples[config.data.train_split]
        self._selection.restore(size, self._exporter.export)
        # Evaluations past the last checkpoint: the run was killed after a rollback, or
        # checkpoints were corrupt or removed.
        self._selection.rewind(self.plan.start_step)

    # -- Train -------------------------------------------------------------------------

    def train(self) -> None:
        """Trains to the end, to an early stop, or to a signal; rolls back after NaN."""
        self._callback.on_start(self.plan)
        stopped = self._selection.stop_early
        if stopped:
            self._callback.on_message(
                f'This run has stopped early: {stopped.requested}. To train further, '
                'raise its patience (`early_stopping`).'
            )
            return
        if self.plan.complete:
            self._callback.on_message(
                f'{self.config.run.model_dir} has all {self.plan.total_steps} steps of '
                'this run already; raise `epochs` or `max_steps` to train further'
            )
            return
        while True:
            try:
                return self._train_from_checkpoint()
            except NonFiniteError as error:
                self._roll_back(error)

    def _train_from_checkpoint(self):
        config, scale = self.config, self._rollback.rate
        model_fn = self.model_fn
        if scale != 1.0:
            model_fn = self._make_model_fn(
                config, self.info, self.plan.total_steps, scale
            )
        hooks = make_training_hooks(
            config,
            self.plan,
            self.info,
            self._evaluations,
            self._selection,
            self._stop,
            self._callback,
            on_train_metrics=self._on_train_metrics,
            first=[hook for hook in (self._init_hook, self._warm_start) if hook],
        )
        found = make_step_loop(
            config,
            self.plan,
            self._evaluations.intervals(),
            self.replicas,
            1 if self._features else self._steps_per_pack(),
            self._callback.on_message,
        )
        if found:
            loop, loop_hook = found
            train_input = loop.input_fn(self._make_train_input(loop.pack))
            model_fn, hooks = loop.model_fn(model_fn), [loop_hook, *hooks]
        else:
            train_input = self._make_train_input(time_input=True)
            model_fn = instrument(model_fn)
        classifier = estimator.Estimator(
            model_fn,
            model_dir=config.run.model_dir,
            config=make_run_config(config, self.replicas),
        )
        try:
            classifier.train(train_input, hooks=hooks, max_steps=self.plan.total_steps)
        except NonFiniteError:
            raise
        except estimator.NanLossDuringTrainingError:
            # Of another replica than the first, whose loss is all that hooks get.
            step = next(hook.step for hook in hooks if isinstance(hook, NanGuardHook))
            raise NonFiniteError(step, 'loss') from None

    def _roll_back(self, error):
        """Returns to the last checkpoint with a lower learning rate, if allowed."""
        step = self.last_step()
        if not self._rollback.allowed():
            raise RunError(self._non_finite_message(error, step)) from None
        if self._rollback.made_no_progress(step) and step_back(
            self.config.run.model_dir
        ):
            step = self.last_step()
        self._callback.on_message(self._rollback.note(error, step))
        self.plan = dataclasses.replace(self.plan, start_step=step)
        self._log.rewind(step)
        self._selection.rewind(step)

    def _non_finite_message(self, error, step):
        most = self.config.run.max_rollbacks
        if most:
            return (
                f'{error}, after {most} rollbacks; the last good checkpoint, of step '
                f'{step}, is retained. Use another `model_dir` with a lower '
                '`learning_rate` or `clip_norm=1`'
            )
        return (
            f'{error}; the last good checkpoint, of step {step}, is retained. Try a '
            'lower `learning_rate`, `clip_norm=1`, or `max_rollbacks=3` to continue '
            'from it with a lower learning rate'
        )

    def _make_train_input(self, pack=1, time_input=False):
        """Makes the input_fn of training; see `DataSource.input_fn`."""
        data = self.config.data
        if self._features:
            return self._features.training_input(
                self.replicas, self.last_step, time_input
            )
        return self.source.input_fn(
            data.train_split,
            self.config.batch_size,
            training=True,
            seed=self.config.run.seed,
            start_step=self.last_step,
            augment=data.augment,
            eval_crop=data.eval_crop,
            sampling=data.sampling,
            replicas=self.replicas,
            time_input=time_input,
            pack=pack,
        )

    def _steps_per_pack(self):
        data = self.config.data
        return self.source.steps_per_pack(
            data.train_split, self.config.batch_size, data.augment
        )

    # -- Evaluate and export -----------------------------------------------------------

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Evaluates the last weights where that is not done yet.

        Returns:
          Metrics by set and name.
        """
        checkpoint, step = self._latest_checkpoint(), self.last_step()
        found = self._evaluations.evaluate_remaining(checkpoint, step)
        # A run that was killed in its last evaluation has not saved its result.
        if self.plan.eval_split in found:
            result = found[self.plan.eval_split]
            self._selection.save_last_if_best(checkpoint, step, result)
        # After the evaluation, and again if need be: a run may be killed during it.
        if not self._stop:
            tensorboard_hparams.write_end(
                tensorboard_writer.event_writer(self.config.run.model_dir)
            )
        return found

    def export(self) -> str:
        """Exports the last or the best weights; returns the directory."""
        return self._exporter.export_chosen(self._latest_checkpoint())

    def _latest_checkpoint(self):
        return tf.train.latest_checkpoint(self.config.run.model_dir)

    def _open_directory(self, directory):
        self.sources.append(open_directory(self.config, self.source, directory))
        return self.sources[-1]

    def _on_train_metrics(self, step, metrics):
        metrics = {**metrics, 'epoch': step / self.plan.steps_per_epoch}
        self._log.write(step, 'train', metrics)
        writer = tensorboard_writer.event_writer(self.config.run.model_dir)
        tensorboard_writer.write_scalars(writer, step, without_counts(metrics))
        self._callback.on_train(step, metrics)

    def _on_evaluation(self, step, split, metrics):
        self._callback.on_evaluate(step, split, metrics)
        self._selection.on_evaluation(step, split, metrics)


def make_run_config(config: Config, replicas: int = 1) -> estimator.RunConfig:
    """Makes the `RunConfig`: our own hooks save and summarize, Estimator does not."""
    return estimator.RunConfig(
        model_dir=config.run.model_dir,
        tf_random_seed=config.run.seed + 1,  # 0 and 0 together would mean no seed.
        save_summary_steps=None,
        save_checkpoints_steps=None,
        save_checkpoints_secs=None,
        log_step_count_steps=None,
        keep_checkpoint_max=config.run.keep_checkpoints,
        session_config=devices.session_config(),
        train_distribute=devices.strategy(replicas),
    )
