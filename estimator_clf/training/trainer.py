"""The main job: train, evaluate while training, evaluate at the end, export.

    replicas = devices.set_up(config.device, config.replicas)
    results = train_and_evaluate(config, source, make_model_fn, make_decode, replicas)

Everything that is written goes into `config.model_dir`, see README.md.
"""

import contextlib
import dataclasses

from estimator_clf.compat import estimator

import tensorflow as tf

from estimator_clf.checkpoints.recovery import recover, step_back, sweep
from estimator_clf.config.step_plan import make_plan
from estimator_clf.core import devices, signals
from estimator_clf.core import intervals as duration
from estimator_clf.core.errors import RunError, disk_full_message
from estimator_clf.core.file_lock import DirectoryLock
from estimator_clf.core.graph_collections import (
    EXAMPLE_IMAGES,
    EXAMPLE_KEYS,
    TRAIN_METRICS,
)
from estimator_clf.evaluation.eval_sets import eval_sets
from estimator_clf.evaluation.plots.factory import eval_callbacks
from estimator_clf.evaluation.run_evaluations import Evaluations
from estimator_clf.hooks.checkpoint import CheckpointHook
from estimator_clf.hooks.example_keys import ExampleKeysHook
from estimator_clf.hooks.input_samples import InputSamplesHook
from estimator_clf.hooks.nan_guard import NanGuardHook, NonFiniteError
from estimator_clf.hooks.profile import ProfileHook
from estimator_clf.hooks.train_metrics import TrainMetricsHook
from estimator_clf.loggers import tensorboard_hparams, tensorboard_writer
from estimator_clf.loggers.corrupt_images import leave_out
from estimator_clf.loggers.jsonl import MetricsLog
from estimator_clf.training import instrument, run_directory, run_loop, tf_config
from estimator_clf.training.callbacks import Callback
from estimator_clf.training.data_dependent_init import make_init_hook
from estimator_clf.training.exports import RunExporter
from estimator_clf.training.feature_cache import FeatureCache
from estimator_clf.training.model_selection import ModelSelection
from estimator_clf.training.nan_rollback import NanRollback
from estimator_clf.training.step_loop import StepLoop
from estimator_clf.warm_start.from_config import warm_start_of

v1 = tf.compat.v1


@dataclasses.dataclass(frozen=True)
class Results:
    """What a run left.

    Attributes:
      step: the last step.
      metrics: dict split -> dict metric -> float, of the last weights.
      export_path: the SavedModel's directory, or None.
      stopped: name of the signal that stopped the run before its end, or None.
    """

    step: int
    metrics: dict
    export_path: str | None
    stopped: str | None = None


def train_and_evaluate(
    config,
    source,
    make_model_fn,
    make_decode,
    replicas=1,
    observer=None,
    open_directory=None,
    published=None,
):
    """Runs a training to its end; goes on where a killed one stopped.

    SIGTERM and SIGINT end it after the step at hand, with a checkpoint; before the
    first step at once.

    Args:
      config: `estimator_clf.config.config.Config`.
      source: `input.sources.base.DataSource`.
      make_model_fn: function (DatasetInfo, total steps, rate) -> model_fn, whose
        learning rate is `rate` times that of the settings.
      make_decode: function DatasetInfo -> `decode` of `export_saved_model`.
      replicas: what `devices.set_up` returned.
      observer: `Callback`.
      open_directory: function from a directory to the `DataSource` of it, for evaluation
      sets
        that lie elsewhere.
      published: see `warm_start_of`.

    Returns:
      `Results`.

    Raises:
      ConfigError: settings that cannot be, or a model_dir of other settings.
      RunError: what stopped it: a full disk, a loss that is not finite, an export that
        is not what its checkpoint is.
      tf.errors.OpError: data that cannot be read.
    """
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(signals.on_signals())
        lock = DirectoryLock(config.model_dir)
        stack.callback(lock.release)
        lock.acquire()
        try:
            with stop.raise_immediately():
                run = _Run(
                    config,
                    source,
                    make_model_fn,
                    make_decode,
                    replicas,
                    observer or Callback(),
                    stop,
                    lock,
                    open_directory,
                    published,
                )
            stack.callback(run.close)
            stack.enter_context(_room_is_needed(run))
            run.train()
            metrics = run.final_metrics()
        except signals.Stopped:
            # Of a corrupt checkpoint the step cannot be read; nobody has mended it yet.
            step = 0
            with contextlib.suppress(tf.errors.OpError):
                step = run_directory.latest_step(config.model_dir)
            return Results(step, {}, None, stop.requested)
        path = run.export() if config.export and not stop else None
        # A wish that came during the export came too late to stop anything.
        return Results(run.last_step(), metrics, path, None if path else stop.requested)


@contextlib.contextmanager
def _room_is_needed(run):
    """Raises RunError, in words, for a full disk."""
    try:
        yield
    except Exception as error:
        words = disk_full_message(error)
        if words is None or isinstance(error, RunError):
            raise
        step, directory = run.last_step(), run.config.model_dir
        text = f'{words}, writing to `model_dir={directory}`. Make room there'
        if step:
            text += f'; its checkpoint of step {step} is whole, and the same command '
            text += 'goes on from it'
        raise RunError(text) from None


class _Run:
    """The parts of a run, wired together."""

    def __init__(
        self,
        config,
        source,
        make_model_fn,
        make_decode,
        replicas,
        observer,
        stop,
        lock,
        open_directory,
        published,
    ):
        tf_config.refuse()
        self.config, self.source, self.observer = config, source, observer
        self.replicas, self.stop = replicas, stop
        run_directory.check_resume(config)
        sweep(config.model_dir)
        damage = recover(config.model_dir)
        if damage:
            observer.on_message(damage)
        self.plan = make_plan(config, source, self.last_step())
        self.corrupt_images = leave_out(
            source, config.max_corrupt_images, observer.on_message, config.model_dir
        )
        # Also the first check of the input's settings, before anything is written.
        self.features = None
        train_input = self._train_input()
        source.keep_statistics(run_directory.known_data(config))
        self.info = source.info
        self.make_model_fn = make_model_fn
        self.rollbacks = NanRollback(
            config.model_dir, config.max_rollbacks, config.rollback_factor
        )
        run_directory.check(config, self.info)
        # Evaluation and export do not move the weights: no rate is the wrong one.
        self.model_fn = make_model_fn(self.info, self.plan.total_steps)
        self.exports = RunExporter(
            config,
            source,
            self.model_fn,
            make_decode(self.info),
            observer.on_message,
        )
        self.log = MetricsLog(config.model_dir)
        self.warm_start = warm_start_of(
            config, self.model_fn, train_input, observer.on_message, published
        )
        self.data_dependent_init = make_init_hook(config, source, self.model_fn)
        if config.cache_features:
            run_directory.take(config, lock)  # Features are written into it.
            self.features = FeatureCache(
                config,
                source,
                self.model_fn,
                self.data_dependent_init,
                self.warm_start,
                observer.on_message,
                stop,
            )
        self.evaluations = Evaluations(
            self.model_fn,
            eval_sets(config, source, self.plan, open_directory, self.features),
            config.model_dir,
            self.log,
            self._report_evaluation,
            stop,
            lambda known: eval_callbacks(config, self.info.class_names, known),
        )
        self.choice = ModelSelection(config, self.plan, self.evaluations)
        run_directory.claim(config, self.info, lock)
        self.log.rewind(self.plan.start_step)
        if not self._checkpoint():  # Somebody has removed them, to begin again.
            self.rollbacks.forget()
        size = source.num_examples[config.train_split]
        self.choice.restore(size, self.exports.export)
        # Killed between going back and forgetting; or checkpoints were corrupt, or are
        # gone because somebody wants to begin again.
        self.choice.rewind(self.plan.start_step)

    def last_step(self):
        """The step of the latest checkpoint."""
        return run_directory.latest_step(self.config.model_dir)

    def close(self):
        """Gives back what the run holds, however it ends."""
        self.corrupt_images.flush()
        self.evaluations.close()

    def train(self):
        """Trains to the end, or until there is a reason to stop."""
        self.observer.on_start(self.plan)
        enough = self.choice.stop_early
        if enough:
            self.observer.on_message(
                f'This run has stopped early: {enough.requested}. To train '
                'further, give it more patience (`early_stopping`).'
            )
            return
        if self.plan.complete:
            self.observer.on_message(
                f'{self.config.model_dir} has all {self.plan.total_steps} steps of '
                'this run already; raise `epochs` or `max_steps` to train further'
            )
            return
        while True:
            try:
                return self._train()
            except NonFiniteError as error:
                step = self.last_step()
                if not self.rollbacks.allowed():
                    raise RunError(self._not_finite(error, step)) from None
                if self.rollbacks.made_no_progress(step) and step_back(
                    self.config.model_dir
                ):
                    step = self.last_step()
                self.observer.on_message(self.rollbacks.note(error, step))
                self.plan = dataclasses.replace(self.plan, start_step=step)
                self.log.rewind(step)
                self.choice.rewind(step)

    def _train_input(self, pack=1, time_input=False):
        """The input_fn of the training; the arguments are those of `DataSource`'s."""
        config = self.config
        if self.features:
            return self.features.training_input(
                self.replicas, self.last_step, time_input
            )
        return self.source.input_fn(
            config.train_split,
            config.batch_size,
            training=True,
            seed=config.seed,
            start_step=self.last_step,
            augment=config.augment,
            eval_crop=config.eval_crop,
            sampling=config.sampling,
            replicas=self.replicas,
            time_input=time_input,
            pack=pack,
        )

    def _pack(self):
        """How many steps' batches an element of the input may hold."""
        if self.features:
            return 1
        config = self.config
        return self.source.steps_per_pack(
            config.train_split, config.batch_size, config.augment
        )

    def final_metrics(self):
        """Evaluates what was not yet, on every split that was not trained on; ends."""
        checkpoint, step = self._checkpoint(), self.last_step()
        found = self.evaluations.evaluate_remaining(checkpoint, step)
        # A run that was killed in its last evaluation has not kept anything of it.
        if self.plan.eval_split in found:
            self.choice.save_last_if_best(checkpoint, step, found[self.plan.eval_split])
        # Behind the evaluation, and if need be again: it may have been killed here.
        if not self.stop:
            tensorboard_hparams.write_end(
                tensorboard_writer.event_writer(self.config.model_dir)
            )
        return found

    def export(self):
        """Exports the weights that are asked for; returns the path."""
        return self.exports.export_chosen(self._checkpoint())

    def _checkpoint(self):
        return tf.train.latest_checkpoint(self.config.model_dir)

    def _train(self):
        make, rate = self.make_model_fn, self.rollbacks.rate
        model_fn = self.model_fn
        if rate != 1.0:
            model_fn = make(self.info, self.plan.total_steps, rate)
        model_fn, hooks = instrument.instrument(model_fn), self._hooks()
        if run_loop.wanted(self.config, self.replicas, self.observer.on_message):
            pack = self._pack()
            loop = StepLoop(keys=self.config.record_keys, pack=pack)
            model_fn = loop.model_fn(model_fn)
            train_input = loop.input_fn(self._train_input(pack))
            intervals = self.evaluations.intervals()
            hooks.insert(0, run_loop.hook_of(loop, self.config, self.plan, intervals))
        else:
            train_input = self._train_input(time_input=True)
        classifier = estimator.Estimator(
            model_fn,
            model_dir=self.config.model_dir,
            config=run_config(self.config, self.replicas),
        )
        try:
            classifier.train(train_input, hooks=hooks, max_steps=self.plan.total_steps)
        except NonFiniteError:
            raise
        except estimator.NanLossDuringTrainingError:
            # Of another replica than the first, whose loss is all that hooks are shown.
            step = next(hook.step for hook in hooks if isinstance(hook, NanGuardHook))
            raise NonFiniteError(step, 'loss') from None

    def _not_finite(self, error, step):
        text = f'{error}; the last good checkpoint, of step {step}, is kept. Try a '
        text += 'smaller `learning_rate`, `clip_norm=1`, or `max_rollbacks=3` to go on '
        text += 'from it with a smaller learning rate'
        if self.config.max_rollbacks:
            text = f'{error}, after {self.config.max_rollbacks} rollbacks; the last '
            text += f'good checkpoint, of step {step}, is kept. Take another '
            text += '`model_dir` with a smaller `learning_rate` or `clip_norm=1`'
        return text

    def _hooks(self):
        config, plan = self.config, self.plan
        self.writer = tensorboard_writer.event_writer(config.model_dir)
        # TensorBoard then drops what a killed run wrote about later steps.
        self.writer.add_session_log(
            v1.SessionLog(status=v1.SessionLog.START), plan.start_step + 1
        )
        regression = not self.info.class_names
        tensorboard_hparams.write_start(
            self.writer, config, plan.total_steps, regression
        )
        saved = [plan.save_every, *self.evaluations.intervals()]
        metrics_hook = TrainMetricsHook(
            [plan.log_every, *saved],
            config.batch_size,
            self._report_training,
            TRAIN_METRICS,
            self.observer.on_step,
        )
        listeners = self.evaluations.listeners(
            after={plan.eval_split: self.choice.save_if_best}, clock=metrics_hook
        )
        hooks = [
            NanGuardHook(TRAIN_METRICS),
            metrics_hook,
            InputSamplesHook(
                self.writer,
                plan.sample_every,
                EXAMPLE_IMAGES,
                config.histograms,
            ),
            # Behind the metrics: a line about a step is there before its checkpoint.
            CheckpointHook(config.model_dir, saved, listeners),
            signals.StopHook(self.stop, self.observer.on_stop),
            signals.StopHook(
                self.choice.stop_early,
                lambda why: self.observer.on_message(f'Stopping early: {why}.'),
            ),
        ]
        if self.warm_start:  # First: the checkpoint of step 0 is to have its weights.
            hooks.insert(0, self.warm_start)
        if self.data_dependent_init:
            hooks.insert(0, self.data_dependent_init)
        if config.record_keys:
            hooks.insert(0, ExampleKeysHook(config.model_dir, EXAMPLE_KEYS))
        if config.profile:
            steps = duration.step_range(config.profile, 'profile')
            # First, so that what the others do does not count as the step's.
            hooks.insert(
                0, ProfileHook(config.model_dir, *steps, self.observer.on_message)
            )
        return hooks

    def _report_training(self, step, metrics):
        metrics = {**metrics, 'epoch': step / self.plan.steps_per_epoch}
        self.log.write(step, 'train', metrics)
        tensorboard_writer.write_scalars(self.writer, step, metrics)
        self.observer.on_train(step, metrics)

    def _report_evaluation(self, step, split, metrics):
        self.observer.on_evaluate(step, split, metrics)
        self.choice.on_evaluation(step, split, metrics)


def run_config(config, replicas=1):
    """Makes the RunConfig: no saving and no summaries but by our own hooks."""
    return estimator.RunConfig(
        model_dir=config.model_dir,
        tf_random_seed=config.seed + 1,  # 0 and 0 together would mean no seed at all.
        save_summary_steps=None,
        save_checkpoints_steps=None,
        save_checkpoints_secs=None,
        log_step_count_steps=None,
        keep_checkpoint_max=config.keep_checkpoints,
        session_config=devices.session_config(),
        train_distribute=devices.strategy(replicas),
    )
