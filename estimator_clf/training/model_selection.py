"""Model selection: best checkpoints, best exports and early stopping."""

from collections.abc import Callable, Mapping
from typing import Any

from estimator_clf.checkpoints.best import (
    BestCheckpoints,
    best_directory,
    check_directory,
    copy_checkpoint,
)
from estimator_clf.config.config import Config
from estimator_clf.config.config_json import run_id
from estimator_clf.config.early_stopping import EarlyStopping, parse_patience
from estimator_clf.config.metric_goal import MetricGoal
from estimator_clf.config.step_plan import StepPlan
from estimator_clf.core.errors import ConfigError
from estimator_clf.core.signals import Stop
from estimator_clf.evaluation.run_evaluations import Evaluations


class ModelSelection:
    """Selects by the results of evaluations: what to retain, and when to stop.

    Attributes:
      goal: `MetricGoal`; None if there is no split to select by.
      stop_early: `Stop`, requested once the metric has not improved for long enough.
    """

    def __init__(self, config: Config, plan: StepPlan, evaluations: Evaluations):
        """Checks the settings; writes nothing.

        Raises:
          ConfigError: no such metric, or no split to select by but the test split.
        """
        self._config = config
        self._split = plan.eval_split
        self._evaluations = evaluations
        self.goal = _make_goal(config, plan, evaluations)
        _check(config, plan, self.goal)
        if self.goal and config.exports.export_best:
            check_directory(_best_export_dir(config), run_id(config.run.model_dir))
        self.stop_early = Stop()
        self._keepers: list[BestCheckpoints] = []
        self._early: EarlyStopping | None = None
        self._patience: tuple[float, str] | None = None

    def restore(self, num_examples: int, export: Callable[[str, str], str]) -> None:
        """Restores the selection of the run so far.

        Args:
          num_examples: number of training examples.
          export: function (checkpoint, directory) that exports and returns the path.
        """
        config = self._config
        known = self._results() if self.goal else {}
        source: dict[str, Any] = {'split': self._split, 'known': known}
        if self.goal and config.evaluation.keep_best:
            self._keepers.append(
                BestCheckpoints(
                    best_directory(config.run.model_dir),
                    self.goal,
                    config.evaluation.keep_best,
                    copy_checkpoint,
                    **source,
                )
            )
        if self.goal and config.exports.export_best:
            self._keepers.append(
                BestCheckpoints(
                    _best_export_dir(config),
                    self.goal,
                    config.exports.export_best,
                    lambda path, step, directory: export(path, directory),
                    records_only=True,
                    run=run_id(config.run.model_dir),
                    **source,
                )
            )
        self._patience = config.patience(num_examples)
        self._restart_early_stopping(known)

    def rewind(self, step: int) -> None:
        """Forgets results after a step to which the run has rolled back."""
        for keeper in self._keepers:
            keeper.rewind(step)
        self._restart_early_stopping(self._results())

    def _results(self):
        return self._evaluations.results(self._split or '')

    def _restart_early_stopping(self, known):
        if self._patience:
            self._early = EarlyStopping(
                self.goal, *self._patience, self._config.evaluation.min_delta
            )
            for step in sorted(known):
                self.on_evaluation(step, self._split, known[step])

    def on_evaluation(self, step: int, name: str, metrics: Mapping[str, float]) -> None:
        """Updates early stopping with the result of an evaluation of the set `name`."""
        if self._early and name == self._split and self._early.update(step, metrics):
            self.stop_early.requested = self._early.why()

    def save_if_best(
        self, checkpoint: str, step: int, metrics: Mapping[str, float]
    ) -> None:
        """Copies or exports a checkpoint if it is among the best."""
        for keeper in self._keepers:
            keeper.maybe_save(checkpoint, step, metrics)

    def save_last_if_best(
        self, checkpoint: str, step: int, metrics: Mapping[str, float]
    ) -> None:
        """Does so after the training, with the results that a kill left unhandled."""
        known = self._results()
        for keeper in self._keepers:
            keeper.maybe_save(checkpoint, step, metrics, known)


def _best_export_dir(config):
    return config.exports.export_dir.rstrip('/') + '-best'


def _make_goal(config, plan, evaluations):
    if not plan.eval_split:
        return None
    metric, mode = config.evaluation.best_metric, config.evaluation.best_mode
    if plan.complete and metric:  # Not worth building a graph for.
        goal = MetricGoal(metric, mode)
        results = evaluations.results(plan.eval_split).values()
        names = {name for metrics in results for name in metrics}
        if names:
            goal.check(names)
    else:
        names = evaluations.metric_names(plan.eval_split)
        default = 'accuracy' if 'accuracy' in names else 'loss'
        goal = MetricGoal(metric or default, mode)
        goal.check(names)
    # Test results never select, unless the user names the test split.
    by_test = plan.eval_split == 'test' and config.evaluation.eval_split != 'test'
    return None if by_test else goal


def _check(config, plan, goal):
    text = config.evaluation.early_stopping
    patience = parse_patience(text, 'early_stopping')
    if patience and patience[0] == 0:
        raise ConfigError(
            f'`early_stopping` must be more than 0, or 0 for never, got {text!r}'
        )
    if patience and goal and not plan.eval_every:
        raise ConfigError(
            '`early_stopping` requires evaluations while training, and `eval_every=0` '
            'has none; set `eval_every=1epochs`'
        )
    best_weights = config.exports.export_weights == 'best'
    requested = {
        'early_stopping': patience,
        'export_best': config.exports.export_best,
        'export_weights': best_weights,
    }
    names = [name for name, value in requested.items() if value]
    if names and goal is None:
        raise ConfigError(
            f'`{names[0]}` requires a split to select by that is not the test split; '
            'hold out some of the training split with `validation_split=0.1`, or name '
            'a split with `eval_split`'
        )
    if best_weights and not config.evaluation.keep_best:
        raise ConfigError(
            '`export_weights=best` requires `keep_best` of at least 1, got 0'
        )
