"""Replaces `tensorflow.python.distribute.estimator_training` of TensorFlow 2.15.

It connects Estimator with TensorFlow's distribute coordinator. TensorFlow 2.16
dropped this module, but kept the coordinator itself
(`tensorflow/python/distribute/distribute_coordinator.py`, the same bytes from 2.15.1
to 2.22.0rc0) and `parameter_server_strategy.py`. Estimator needs it: with a
strategy, `init_run_config` sets `task_type`, `is_chief` and the other
properties of the task in the `RunConfig`.

Follows the module of TensorFlow 2.15 (Apache License 2.0), with one difference: the
standalone-client mode (`experimental_distribute.remote_cluster`), in which one process
drives servers elsewhere, is refused.

Loaded by `_wheel.py` under TensorFlow's own name, if that is missing.
"""

import copy
from collections.abc import Callable
from typing import Any, NoReturn

from tensorflow.python.distribute import (
    distribute_coordinator,
    distribute_coordinator_context,
)
from tensorflow.python.platform import tf_logging
from tensorflow.python.training import server_lib

_CHIEF = 'chief'
_EVALUATOR = 'evaluator'
_PS = 'ps'
_WORKER = 'worker'

_INDEPENDENT_WORKER = distribute_coordinator.CoordinatorMode.INDEPENDENT_WORKER


def init_run_config(config: Any, tf_config: dict[str, Any]) -> None:
    """Completes a `RunConfig` that has a distribution strategy.

    Args:
      config: `RunConfig` under construction; its private attributes are set.
      tf_config: the parsed environment variable `TF_CONFIG`.

    Raises:
      ValueError: if a strategy is given twice, or the standalone-client mode is
        requested.
    """
    strategies = config._experimental_distribute
    if strategies and strategies.train_distribute:
        if config._train_distribute:
            raise ValueError(
                'Set either `train_distribute` or '
                '`experimental_distribute.train_distribute`, not both.'
            )
        config._train_distribute = strategies.train_distribute
    if strategies and strategies.eval_distribute:
        if config._eval_distribute:
            raise ValueError(
                'Set either `eval_distribute` or '
                '`experimental_distribute.eval_distribute`, not both.'
            )
        config._eval_distribute = strategies.eval_distribute
    if strategies and strategies.remote_cluster:
        raise ValueError(
            'The standalone-client mode (`experimental_distribute.remote_cluster`) is '
            'not available on this TensorFlow. Start the program once per task, each '
            'with its own TF_CONFIG, and omit `remote_cluster`.'
        )

    cluster_spec = server_lib.ClusterSpec(tf_config.get('cluster', {}))
    # Defaults first: the properties must exist before the coordinator fills them.
    config._init_distributed_setting_from_environment_var({})

    # 'master' is the name of 'chief' from before strategies: Estimator alone runs such
    # a cluster, as one without a strategy for training.
    alone = (
        not cluster_spec
        or 'master' in cluster_spec.jobs
        or not config._train_distribute
    )
    if alone:
        config._distribute_coordinator_mode = None
        config._init_distributed_setting_from_environment_var(tf_config)
        config._maybe_overwrite_session_config_for_distributed_training()
        tf_logging.info('Not using Distribute Coordinator.')
        return

    # Only the cluster: the coordinator sets the task.
    config._cluster_spec = cluster_spec
    config._distribute_coordinator_mode = _INDEPENDENT_WORKER
    tf_logging.info('Using Distribute Coordinator, one independent worker per task.')


def should_run_distribute_coordinator(config: Any) -> bool:
    """Returns whether `train_and_evaluate` of a `RunConfig` needs the coordinator."""
    # The attribute is missing without a strategy.
    mode = getattr(config, '_distribute_coordinator_mode', None)
    return mode == _INDEPENDENT_WORKER and bool(config.cluster_spec)


def train_and_evaluate(
    estimator: Any, train_spec: Any, eval_spec: Any, executor_cls: Callable
) -> None:
    """Runs this process's task of a cluster with a distribution strategy.

    Args:
      estimator: `Estimator`.
      train_spec: `TrainSpec`.
      eval_spec: `EvalSpec`.
      executor_cls: Estimator's `_TrainingExecutor`, used by the evaluator.

    Raises:
      ValueError: if the config of `estimator` was made without a strategy.
    """
    run_config = estimator.config
    if not run_config._distribute_coordinator_mode:
        raise ValueError(
            'The Distribute Coordinator needs a `RunConfig` made with '
            '`train_distribute` while TF_CONFIG names a cluster.'
        )

    def train(strategy):
        local = _for_this_task(estimator, 'train', strategy)
        local.train(
            input_fn=train_spec.input_fn,
            max_steps=train_spec.max_steps,
            hooks=list(train_spec.hooks),
        )

    def evaluate(strategy):
        local = _for_this_task(estimator, 'eval', strategy)
        executor_cls(local, train_spec, eval_spec)._start_continuous_evaluation()

    distribute_coordinator.run_distribute_coordinator(
        train,
        run_config.train_distribute,
        evaluate,
        run_config.eval_distribute,
        mode=run_config._distribute_coordinator_mode,
        # None: the coordinator reads TF_CONFIG itself, together with the task.
        cluster_spec=None,
        session_config=run_config.session_config,
    )


def estimator_train(estimator: Any, train_distributed_fn: Any, hooks: Any) -> NoReturn:
    """Refuses `Estimator.train` in a cluster with a strategy.

    Raises:
      ValueError: always, as on TensorFlow 2.15 for every mode but the standalone
        client.
    """
    del estimator, train_distributed_fn, hooks
    raise ValueError(_only_train_and_evaluate('train'))


def estimator_evaluate(
    estimator: Any, evaluate_distributed_fn: Any, hooks: Any
) -> NoReturn:
    """Refuses `Estimator.evaluate` in a cluster with a strategy.

    Raises:
      ValueError: always, as on TensorFlow 2.15 for every mode but the standalone
        client.
    """
    del estimator, evaluate_distributed_fn, hooks
    raise ValueError(_only_train_and_evaluate('evaluate'))


def _only_train_and_evaluate(method):
    return (
        f'`Estimator.{method}` cannot run in a cluster (TF_CONFIG) with a distribution '
        'strategy. Call `train_and_evaluate` in every process, or unset TF_CONFIG.'
    )


def _for_this_task(estimator, purpose, strategy):
    """Copies `estimator` for the task that the coordinator runs in this thread.

    Args:
      estimator: `Estimator`, not modified.
      purpose: 'train' or 'eval'.
      strategy: `tf.distribute.Strategy` as configured by the coordinator, or None.

    Returns:
      `Estimator` with the strategy and the task's place in the cluster.
    """
    local = copy.deepcopy(estimator)
    config = local._config
    setattr(config, f'_{purpose}_distribute', strategy)
    setattr(local, f'_{purpose}_distribution', strategy)
    _take_over_task(config, distribute_coordinator_context.get_current_worker_context())
    # Otherwise `train` and `evaluate` of the copy would call the coordinator again.
    config._distribute_coordinator_mode = None
    tf_logging.info('Updated config: %s', vars(config))
    return local


def _take_over_task(config, context):
    """Copies the task's place in the cluster from the coordinator to a `RunConfig`."""
    config._service = None
    config._cluster_spec = context.cluster_spec
    config._task_type = context.task_type
    config._task_id = context.task_id
    config._master = context.master_target
    config._evaluation_master = context.master_target
    config._is_chief = context.is_chief
    config._num_ps_replicas = 0

    if not config._cluster_spec:  # One process after all.
        config._num_worker_replicas = 1
        config._global_id_in_cluster = 0
    elif config._task_type == _EVALUATOR:  # It must not wait for the other tasks.
        config._cluster_spec = server_lib.ClusterSpec({})
        config._num_worker_replicas = 0
        config._global_id_in_cluster = None
    else:
        tasks = config._cluster_spec.as_dict()
        config._num_ps_replicas = len(tasks.get(_PS, []))
        config._num_worker_replicas = sum(
            len(tasks.get(j, [])) for j in (_CHIEF, _WORKER)
        )
        config._global_id_in_cluster = _global_id(
            config._cluster_spec, config._task_type, config._task_id
        )


def _global_id(cluster_spec, task_type, task_id):
    """Numbers the tasks: the chief first, then the others by name, the ps last.

    The order is documented at `RunConfig.global_id_in_cluster`.
    """
    if not task_type:  # In-graph replication: the only task that runs a graph.
        return 0
    order = sorted(cluster_spec.jobs, key=lambda j: (j == _PS, j != _CHIEF, j))
    before = order[: order.index(task_type)]
    return task_id + sum(len(cluster_spec.job_tasks(job)) for job in before)
