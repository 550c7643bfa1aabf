"""The main job: train, evaluate while training, evaluate at the end, export.

    replicas = devices.set_up(config.device, config.replicas)
    results = train_and_evaluate(config, source, make_model_fn, make_decode, replicas)

Everything that is written goes into `config.model_dir`, see README.md.
"""

import dataclasses
import functools
import json
import math
import os

from estimator_clf.compat import estimator

import tensorflow as tf

from estimator_clf import config as configuration
from estimator_clf import devices, instrument, provenance
from estimator_clf.errors import ConfigError
from estimator_clf.evaluator import Evaluator
from estimator_clf.export import export_saved_model
from estimator_clf.files import write_atomically
from estimator_clf.hooks.checkpoint import CheckpointHook
from estimator_clf.hooks.evaluation import EvaluationListener
from estimator_clf.hooks.keys import KeysHook
from estimator_clf.hooks.metrics import MetricsHook
from estimator_clf.hooks.pictures import SampleHook
from estimator_clf.metrics_log import MetricsLog

v1 = tf.compat.v1

DATASET_FILE = 'dataset.json'


class Observer:
    """What a run tells of itself; this one keeps it to itself."""

    def on_start(self, plan):
        """Called once, before the first step, with the `Plan`."""

    def on_step(self, step):
        """Called after each step."""

    def on_train(self, step, metrics):
        """Called at each logging interval with the means over it."""

    def on_evaluate(self, step, split, metrics):
        """Called after each evaluation."""

    def on_message(self, text):
        """Called with what else a person should know."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """A run in numbers of steps.

    Attributes:
      start_step: where this process begins; above 0 if it goes on.
      total_steps: where the run ends.
      steps_per_epoch: float.
      log_every: interval of the training metrics, see `estimator_clf.duration.due`.
      save_every: interval of the checkpoints.
      eval_every: interval of evaluation; 0: at the end only.
      eval_split: what is evaluated while training, or None.
    """

    start_step: int
    total_steps: int
    steps_per_epoch: float
    log_every: float
    save_every: float
    eval_every: float
    eval_split: str | None


@dataclasses.dataclass(frozen=True)
class Results:
    """What a run left.

    Attributes:
      step: the last step.
      metrics: dict split -> dict metric -> float, of the last weights.
      export_path: the SavedModel's folder, or None.
    """

    step: int
    metrics: dict
    export_path: str | None


def train_and_evaluate(
    config, source, make_model_fn, make_decode, replicas=1, observer=None
):
    """Runs a training to its end; goes on where a killed one stopped.

    Args:
      config: `estimator_clf.config.Config`.
      source: `input.source.Source`.
      make_model_fn: function (DatasetInfo, total steps) -> model_fn.
      make_decode: function DatasetInfo -> `decode` of `export_saved_model`.
      replicas: what `devices.set_up` returned.
      observer: `Observer`.

    Returns:
      `Results`.

    Raises:
      ConfigError: settings that cannot be, or a model_dir of other settings.
      tf.errors.OpError: data that cannot be read.
    """
    observer = observer or Observer()
    refuse_cluster()
    plan = make_plan(config, source)
    # Also the first check of the input's settings, before anything is written.
    train_input = source.input_fn(
        config.train_split,
        config.batch_size,
        training=True,
        seed=config.seed,
        start_step=lambda: latest_step(config.model_dir),
        augment=config.augment,
        eval_crop=config.eval_crop,
        replicas=replicas,
        time_input=True,
    )
    info = source.info
    model_fn = make_model_fn(info, plan.total_steps)
    claim_model_dir(config, info)
    log = MetricsLog(config.model_dir)
    log.rewind(plan.start_step)
    observer.on_start(plan)
    evaluator = None
    if plan.eval_split:
        evaluator = Evaluator(
            model_fn, evaluation_input(config, source, plan.eval_split)
        )
    if plan.start_step < plan.total_steps:
        train_estimator = estimator.Estimator(
            instrument.instrument(model_fn),
            model_dir=config.model_dir,
            config=run_config(config, replicas),
        )
        train_estimator.train(
            train_input,
            hooks=_hooks(config, plan, evaluator, log, observer),
            max_steps=plan.total_steps,
        )
    else:
        observer.on_message(
            f'{config.model_dir} has all {plan.total_steps} steps of this run already; '
            'raise --epochs or --max_steps to train further'
        )
    checkpoint = tf.train.latest_checkpoint(config.model_dir)
    step = latest_step(config.model_dir)
    metrics = _final_metrics(config, source, plan, model_fn, log, observer, step)
    if evaluator:
        evaluator.close()
    path = None
    if config.export:
        path = export_saved_model(
            model_fn, info, checkpoint, config.export_dir, make_decode(info)
        )
    return Results(step, metrics, path)


def make_plan(config, source):
    """Turns the durations of the settings into steps of this data set."""
    if config.train_split not in source.num_examples:
        raise ConfigError(
            f'--train_split={config.train_split}: {source.name} has no such split; it '
            f'has: {", ".join(source.num_examples)}'
        )
    size = source.num_examples[config.train_split]
    total = config.total_steps(size)
    per_epoch = size / config.batch_size
    # An equal part of the epoch, so that no rest of it is left at its checkpoint.
    log_every = max(1.0, per_epoch / math.ceil(per_epoch / 100))
    if config.log_every:
        log_every = config.interval('log_every', size)
    return Plan(
        start_step=latest_step(config.model_dir),
        total_steps=total,
        steps_per_epoch=per_epoch,
        log_every=log_every,
        save_every=config.interval('save_every', size),
        eval_every=config.interval('eval_every', size),
        eval_split=evaluation_split(config, source),
    )


def evaluation_split(config, source):
    """Returns the split to evaluate on while training, or None."""
    if config.eval_split:
        if config.eval_split not in source.num_examples:
            raise ConfigError(
                f'--eval_split={config.eval_split}: {source.name} has no such split; '
                f'it has: {", ".join(source.num_examples)}'
            )
        if config.eval_split == config.train_split:
            raise ConfigError(
                f'--eval_split={config.eval_split} is the split that is trained on; '
                'hold some out with --validation_split=0.1'
            )
        return config.eval_split
    for split in ('validation', 'test'):
        if split in source.num_examples:
            return split
    return None


def evaluation_input(config, source, split):
    """Makes the input_fn of an evaluation."""
    return source.input_fn(
        split,
        config.eval_batch_size or config.batch_size,
        eval_crop=config.eval_crop,
    )


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


def latest_step(model_dir):
    """Returns the global step of the latest checkpoint, 0 if there is none."""
    checkpoint = tf.train.latest_checkpoint(model_dir)
    if not checkpoint:
        return 0
    return int(tf.train.load_variable(checkpoint, 'global_step'))


def claim_model_dir(config, info):
    """Writes the settings into the model_dir, or checks that they belong to it.

    Raises:
      ConfigError: the folder belongs to a run of other settings or other data.
    """
    try:
        os.makedirs(config.model_dir, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f'--model_dir={config.model_dir} cannot be made: {error.strerror}'
        ) from None
    path = os.path.join(config.model_dir, configuration.FILE_NAME)
    if os.path.exists(path):
        _check_same_run(config, info)
    elif latest_step(config.model_dir):
        raise ConfigError(
            f'--model_dir={config.model_dir} holds checkpoints but no '
            f'{configuration.FILE_NAME}: it is not ours; take another folder'
        )
    record = {'settings': config.to_dict(), **provenance.collect()}
    write_atomically(path, json.dumps(record, indent=2) + '\n')
    write_atomically(os.path.join(config.model_dir, DATASET_FILE), info.to_json())


def refuse_cluster():
    """Raises ConfigError if TF_CONFIG describes a cluster, which is not for us."""
    try:
        cluster = json.loads(os.environ.get('TF_CONFIG') or '{}').get('cluster')
        if not cluster:
            estimator.RunConfig()  # It reads the rest, and raises whatever comes.
    except (ValueError, AttributeError, TypeError) as error:
        raise ConfigError(
            'TF_CONFIG must be a JSON object that describes this machine, got '
            f'{os.environ["TF_CONFIG"][:80]!r} ({error}); unset it'
        ) from None
    if cluster:
        raise ConfigError(
            'TF_CONFIG describes a cluster, but this program trains on one machine; '
            'unset it, or use estimator_clf.compat.estimator.train_and_evaluate with '
            'the input_fn and model_fn, see README.md'
        )


def _check_same_run(config, info):
    before = configuration.load(config.model_dir)
    different = before.differences(config)
    if different:
        listed = '\n'.join(
            f'  --{name}: {there!r} there, {now!r} now'
            for name, there, now in different
        )
        raise ConfigError(
            f'--model_dir={config.model_dir} belongs to a run of other settings:\n'
            f'{listed}\nTake another --model_dir, or the same settings to go on.'
        )
    path = os.path.join(config.model_dir, DATASET_FILE)
    if os.path.exists(path):
        try:
            with open(path, encoding='utf-8') as file:
                there = type(info).from_json(file.read())
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f'{path} is damaged: {error}') from None
        for name in ('class_names', 'image_shape', 'num_examples'):
            old, new = getattr(there, name), getattr(info, name)
            if old != new:
                raise ConfigError(
                    f'--model_dir={config.model_dir}: the data has changed since: '
                    f'{name} was {old}, is {new}. Take another --model_dir.'
                )


def _hooks(config, plan, evaluator, log, observer):
    writer = event_writer(config.model_dir)
    # TensorBoard then drops what a killed run wrote about later steps.
    writer.add_session_log(
        tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START),
        plan.start_step + 1,
    )

    def report_train(step, metrics):
        metrics = {**metrics, 'epoch': step / plan.steps_per_epoch}
        log.write(step, 'train', metrics)
        write_scalars(writer, step, metrics)
        observer.on_train(step, metrics)

    def report_evaluation(step, metrics):
        _report_evaluation(config, log, observer, step, plan.eval_split, metrics)

    metrics_hook = MetricsHook(
        [plan.log_every, plan.save_every, plan.eval_every],
        config.batch_size,
        report_train,
        instrument.METRICS,
        observer.on_step,
    )
    listeners = []
    if evaluator:
        done = [x['step'] for x in log.read() if x['split'] == plan.eval_split]
        listeners.append(
            EvaluationListener(
                evaluator,
                plan.eval_every,
                report_evaluation,
                done=max(done, default=None),
                clock=metrics_hook,
            )
        )
    hooks = [
        metrics_hook,
        SampleHook(
            writer,
            plan.eval_every or plan.total_steps,
            instrument.IMAGES,
            config.histograms,
        ),
        # Behind the metrics: a line about a step is there before its checkpoint.
        CheckpointHook(config.model_dir, [plan.save_every, plan.eval_every], listeners),
    ]
    if config.record_keys:
        hooks.insert(0, KeysHook(config.model_dir, instrument.KEYS))
    return hooks


def _final_metrics(config, source, plan, model_fn, log, observer, step):
    """Evaluates what was not yet, on every split that was not trained on."""
    metrics = {}
    splits = [s for s in ('validation', 'test') if s in source.num_examples]
    if plan.eval_split and plan.eval_split not in splits:
        splits.append(plan.eval_split)
    lines = log.read()
    for split in splits:
        known = [x for x in lines if x['split'] == split and x['step'] == step]
        if known:
            metrics[split] = {
                k: math.nan if v is None else v
                for k, v in known[-1].items()
                if k not in ('step', 'split', 'time')
            }
            continue
        evaluator = Evaluator(model_fn, evaluation_input(config, source, split))
        metrics[split] = evaluator.evaluate(
            tf.train.latest_checkpoint(config.model_dir)
        )
        evaluator.close()
        _report_evaluation(config, log, observer, step, split, metrics[split])
    return metrics


def _report_evaluation(config, log, observer, step, split, metrics):
    log.write(step, split, metrics)
    # A folder of its own is a run of its own for TensorBoard: the same tags as in
    # training lie over each other in one chart.
    writer = event_writer(os.path.join(config.model_dir, split))
    write_scalars(writer, step, metrics)
    observer.on_evaluate(step, split, metrics)


@functools.cache
def event_writer(folder):
    """Returns the one writer of TensorBoard events for a folder."""
    # Not of FileWriterCache: that would write the graph of the moment as the run's. It
    # refuses to be made outside of a graph.
    with tf.Graph().as_default():
        return v1.summary.FileWriter(folder)


def write_scalars(writer, step, metrics):
    """Writes metrics as TensorBoard scalars, and flushes.

    Args:
      writer: `tf.compat.v1.summary.FileWriter`.
      step: int.
      metrics: dict tag -> number.
    """
    values = [
        v1.Summary.Value(tag=tag, simple_value=float(value))
        for tag, value in metrics.items()
    ]
    writer.add_summary(v1.Summary(value=values), step)
    writer.flush()
