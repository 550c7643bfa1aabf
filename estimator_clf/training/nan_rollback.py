"""Rolls back to the last checkpoint with a lower learning rate after a NaN loss."""

import contextlib
import json
import os

from estimator_clf.core.atomic_files import write_atomically
from estimator_clf.hooks.nan_guard import NonFiniteError

FILE_NAME = 'rollbacks.json'


class NanRollback:
    """The rollbacks of a run, and the learning rate scale that they leave.

    They are saved in `rollbacks.json`, so that a run that is killed and started again
    continues with the learning rate that it had.
    """

    def __init__(self, model_dir: str, most: int, factor: float):
        """Reads the rollbacks so far.

        Args:
          model_dir: directory of the run.
          most: maximum number of rollbacks, over all processes of the run.
          factor: factor of the learning rate at each rollback.
        """
        self._path = os.path.join(model_dir, FILE_NAME)
        self._most = most
        self._factor = factor
        self._done = self._read()

    @property
    def rate(self) -> float:
        """Scale of the learning rate: the product of the factors so far."""
        product = 1.0
        for entry in self._done:
            product *= entry['factor']
        return product

    def forget(self) -> None:
        """Removes all rollbacks, for a run that starts over."""
        self._done = []
        with contextlib.suppress(FileNotFoundError):
            os.remove(self._path)

    def allowed(self) -> bool:
        """Returns whether the run may roll back once more."""
        return len(self._done) < self._most

    def made_no_progress(self, step: int) -> bool:
        """Returns whether the last rollback was to this step too.

        Weights can be lost while they are still finite: a checkpoint of such weights
        leads to NaN at every learning rate.
        """
        return bool(self._done) and self._done[-1]['from_step'] == step

    def note(self, error: NonFiniteError, step: int) -> str:
        """Records a rollback.

        Args:
          error: `NonFiniteError`.
          step: the step of the checkpoint from which the run continues.

        Returns:
          A message for the user.
        """
        self._done.append(
            {'failed_at': error.step, 'from_step': step, 'factor': self._factor}
        )
        write_atomically(self._path, json.dumps(self._done, indent=2) + '\n')
        reason = str(error)
        return (
            f'{reason[0].upper()}{reason[1:]}. Rolling back to step {step}, with the '
            f'learning rate times {self.rate:g} (rollback {len(self._done)} of at most '
            f'{self._most}, see `max_rollbacks`).'
        )

    def _read(self):
        try:
            with open(self._path, encoding='utf-8') as file:
                return [
                    {
                        'failed_at': int(entry['failed_at']),
                        'from_step': int(entry['from_step']),
                        'factor': float(entry['factor']),
                    }
                    for entry in json.load(file)
                ]
        except (FileNotFoundError, NotADirectoryError):
            return []
