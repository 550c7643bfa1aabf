"""The main job: train, evaluate while training, evaluate at the end, export.

    replicas = devices.set_up(config.device, config.replicas)
    results = train_and_evaluate(config, source, make_model_fn, make_decode, replicas)

Everything that is written goes into `config.model_dir`, see README.md.
"""

import dataclasses
import math
import os

from estimator_clf.compat import estimator

import tensorflow as tf

from estimator_clf import cluster, devices, events, instrument, model_dir, stopping
from estimator_clf.evaluator import Evaluator
from estimator_clf.export import export_saved_model
from estimator_clf.hooks.checkpoint import CheckpointHook
from estimator_clf.hooks.evaluation import EvaluationListener
from estimator_clf.hooks.keys import KeysHook
from estimator_clf.hooks.metrics import MetricsHook
from estimator_clf.hooks.pictures import SampleHook
from estimator_clf.metrics_log import MetricsLog
from estimator_clf.observer import Observer
from estimator_clf.plan import evaluation_input, make_plan

v1 = tf.compat.v1


@dataclasses.dataclass(frozen=True)
class Results:
    """What a run left.

    Attributes:
      step: the last step.
      metrics: dict split -> dict metric -> float, of the last weights.
      export_path: the SavedModel's folder, or None.
      stopped: name of the signal that stopped the run before its end, or None.
    """

    step: int
    metrics: dict
    export_path: str | None
    stopped: str | None = None


def train_and_evaluate(
    config, source, make_model_fn, make_decode, replicas=1, observer=None
):
    """Runs a training to its end; goes on where a killed one stopped.

    SIGTERM and SIGINT end it after the step at hand, with a checkpoint.

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
    with stopping.on_signals() as stop:
        return _run(
            config,
            source,
            make_model_fn,
            make_decode,
            replicas,
            observer or Observer(),
            stop,
        )


def _run(config, source, make_model_fn, make_decode, replicas, observer, stop):
    cluster.refuse()
    plan = make_plan(config, source, model_dir.latest_step(config.model_dir))
    # Also the first check of the input's settings, before anything is written.
    train_input = source.input_fn(
        config.train_split,
        config.batch_size,
        training=True,
        seed=config.seed,
        start_step=lambda: model_dir.latest_step(config.model_dir),
        augment=config.augment,
        eval_crop=config.eval_crop,
        replicas=replicas,
        time_input=True,
    )
    info = source.info
    model_fn = make_model_fn(info, plan.total_steps)
    model_dir.claim(config, info)
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
            hooks=_hooks(config, plan, evaluator, log, observer, stop),
            max_steps=plan.total_steps,
        )
    else:
        observer.on_message(
            f'{config.model_dir} has all {plan.total_steps} steps of this run already; '
            'raise --epochs or --max_steps to train further'
        )
    checkpoint = tf.train.latest_checkpoint(config.model_dir)
    step = model_dir.latest_step(config.model_dir)
    metrics = _final_metrics(config, source, plan, model_fn, log, observer, step, stop)
    if evaluator:
        evaluator.close()
    path = None
    if config.export and not stop:
        path = export_saved_model(
            model_fn, info, checkpoint, config.export_dir, make_decode(info)
        )
    # A wish that came during the export came too late to stop anything.
    return Results(step, metrics, path, None if path else stop.requested)


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


def _hooks(config, plan, evaluator, log, observer, stop):
    writer = events.event_writer(config.model_dir)
    # TensorBoard then drops what a killed run wrote about later steps.
    writer.add_session_log(
        tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START),
        plan.start_step + 1,
    )

    def report_train(step, metrics):
        metrics = {**metrics, 'epoch': step / plan.steps_per_epoch}
        log.write(step, 'train', metrics)
        events.write_scalars(writer, step, metrics)
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
                stop=stop,
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
        stopping.StopHook(stop, observer.on_stop),
    ]
    if config.record_keys:
        hooks.insert(0, KeysHook(config.model_dir, instrument.KEYS))
    return hooks


def _final_metrics(config, source, plan, model_fn, log, observer, step, stop):
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
        found = evaluator.evaluate(tf.train.latest_checkpoint(config.model_dir), stop)
        evaluator.close()
        if found is None:
            break
        metrics[split] = found
        _report_evaluation(config, log, observer, step, split, metrics[split])
    return metrics


def _report_evaluation(config, log, observer, step, split, metrics):
    log.write(step, split, metrics)
    # A folder of its own is a run of its own for TensorBoard: the same tags as in
    # training lie over each other in one chart.
    writer = events.event_writer(os.path.join(config.model_dir, split))
    events.write_scalars(writer, step, metrics)
    observer.on_evaluate(step, split, metrics)
