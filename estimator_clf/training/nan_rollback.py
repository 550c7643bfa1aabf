"""Going on with a smaller learning rate when the loss was not finite any more."""

import contextlib
import json
import os

from estimator_clf.core.atomic_files import write_atomically

FILE_NAME = 'rollbacks.json'


class NanRollback:
    """How often a run went back to its last checkpoint, and what rate that left.

    It is kept in `rollbacks.json`, so that a run that is killed and started again
    goes on with the rate that it had.
    """

    def __init__(self, model_dir, most, factor):
        """Reads what there is.

        Args:
          model_dir: directory of the run.
          most: how often a run may go back, all its processes together.
          factor: what the learning rate is multiplied with each time.
        """
        self._path = os.path.join(model_dir, FILE_NAME)
        self._most = most
        self._factor = factor
        self._done = self._read()

    @property
    def rate(self):
        """What the learning rate is to be multiplied with."""
        product = 1.0
        for entry in self._done:
            product *= entry['factor']
        return product

    def forget(self):
        """Drops what there is, for a run that begins again."""
        self._done = []
        with contextlib.suppress(FileNotFoundError):
            os.remove(self._path)

    def allowed(self):
        """Tells whether the run may go back once more."""
        return len(self._done) < self._most

    def made_no_progress(self, step):
        """Tells whether the run has gone back to this step the last time, too.

        Weights may be lost while they are still finite: what was saved of them is
        nothing to go on from, at whatever rate.
        """
        return bool(self._done) and self._done[-1]['from_step'] == step

    def note(self, error, step):
        """Notes that the run goes back.

        Args:
          error: `NonFiniteError`.
          step: the step of the checkpoint that it goes on from.

        Returns:
          A sentence for a person.
        """
        self._done.append(
            {'failed_at': error.step, 'from_step': step, 'factor': self._factor}
        )
        write_atomically(self._path, json.dumps(self._done, indent=2) + '\n')
        what = str(error)
        return (
            f'{what[0].upper()}{what[1:]}. Going back to step {step}, from there with '
            f'the learning rate times {self.rate:g} (time {len(self._done)} of at most '
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
