"""What a run chooses by its evaluations: what it keeps, and when it is enough."""

from estimator_clf.checkpoints.best import (
    BestCheckpoints,
    best_directory,
    check_directory,
    copy_checkpoint,
)
from estimator_clf.config.early_stopping import EarlyStopping, parse_patience
from estimator_clf.config.metric_goal import MetricGoal
from estimator_clf.core.errors import ConfigError
from estimator_clf.core.signals import Stop
from estimator_clf.training.run_directory import run_id


class ModelSelection:
    """The goal of a run, and all that follows from it.

    Attributes:
      goal: `MetricGoal`; None if there is nothing to choose by.
      enough: `Stop`, true once evaluation has not become better for long enough.
    """

    def __init__(self, config, plan, evaluations):
        """Checks what is wished for; writes nothing.

        Args:
          config: `Config`.
          plan: `Plan`.
          evaluations: `Evaluations`.

        Raises:
          ConfigError: no such metric, or nothing to choose by but the test split.
        """
        self._config = config
        self._split = plan.eval_split
        self._evaluations = evaluations
        self.goal = _goal(config, plan, evaluations)
        _check(config, plan, self.goal)
        if self.goal and config.export_best:
            check_directory(_exports(config), run_id(config.model_dir))
        self.stop_early = Stop()
        self._keepers, self._early, self._patience = [], None, None

    def restore(self, num_examples, export):
        """Takes up what the run before has kept and how long it has waited.

        Args:
          num_examples: of the training split.
          export: function (checkpoint, directory) that exports and returns the path.
        """
        config = self._config
        known = self._evaluations.results(self._split) if self.goal else {}
        by = {'split': self._split, 'known': known}
        if self.goal and config.keep_best:
            directory = best_directory(config.model_dir)
            self._keepers.append(
                BestCheckpoints(
                    directory, self.goal, config.keep_best, copy_checkpoint, **by
                )
            )
        if self.goal and config.export_best:
            self._keepers.append(
                BestCheckpoints(
                    _exports(config),
                    self.goal,
                    config.export_best,
                    lambda path, step, directory: export(path, directory),
                    records_only=True,
                    run=run_id(config.model_dir),
                    **by,
                )
            )
        self._patience = config.patience(num_examples)
        self._wait(known)

    def rewind(self, step):
        """Forgets what was found behind a step to which the run has gone back."""
        for keeper in self._keepers:
            keeper.rewind(step)
        self._wait(self._evaluations.results(self._split))

    def _wait(self, known):
        """Begins to wait, with all that is known already."""
        if self._patience:
            self._early = EarlyStopping(
                self.goal, *self._patience, self._config.min_delta
            )
            for step in sorted(known):
                self.on_evaluation(step, self._split, known[step])

    def on_evaluation(self, step, name, metrics):
        """Takes the result of an evaluation of the set `name`."""
        if self._early and name == self._split and self._early.update(step, metrics):
            self.stop_early.requested = self._early.why()

    def save_if_best(self, checkpoint, step, metrics):
        """Keeps what is made of a checkpoint, if it is among the best."""
        for keeper in self._keepers:
            keeper.maybe_save(checkpoint, step, metrics)

    def save_last_if_best(self, checkpoint, step, metrics):
        """Does so behind the training, of which not all may have been offered."""
        known = self._evaluations.results(self._split)
        for keeper in self._keepers:
            keeper.maybe_save(checkpoint, step, metrics, known)


def _exports(config):
    return config.export_dir.rstrip('/') + '-best'


def _goal(config, plan, evaluations):
    if not plan.eval_split:
        return None
    if plan.complete and config.best_metric:  # Not worth building a graph for.
        goal = MetricGoal(config.best_metric, config.best_mode)
        names = {
            n for found in evaluations.results(plan.eval_split).values() for n in found
        }
        if names:
            goal.check(names)
    else:
        names = evaluations.metric_names(plan.eval_split)
        usual = 'accuracy' if 'accuracy' in names else 'loss'
        goal = MetricGoal(config.best_metric or usual, config.best_mode)
        goal.check(names)
    # Nothing is chosen by test accuracy, unless somebody insists.
    by_test = plan.eval_split == 'test' and config.eval_split != 'test'
    return None if by_test else goal


def _check(config, plan, goal):
    patience = parse_patience(config.early_stopping, 'early_stopping')
    if patience and patience[0] == 0:
        raise ConfigError(
            '`early_stopping` must be more than 0, or 0 for never, got '
            f'{config.early_stopping!r}'
        )
    if patience and goal and not plan.eval_every:
        raise ConfigError(
            '`early_stopping` needs evaluations while training, and `eval_every=0` has '
            'none; give `eval_every=1epochs`'
        )
    wishes = {
        'early_stopping': patience,
        'export_best': config.export_best,
        'export_weights': config.export_weights == 'best',
    }
    wanted = [name for name, wish in wishes.items() if wish]
    if wanted and goal is None:
        raise ConfigError(
            f'`{wanted[0]}` needs something to choose by that is not the test split; '
            'hold some of the training set out with `validation_split=0.1`, or name a '
            'split with `eval_split`'
        )
    if config.export_weights == 'best' and not config.keep_best:
        raise ConfigError(
            '`export_weights=best` needs `keep_best` of at least 1, got 0'
        )
