"""Results of the phases of a run: `transfer.json`, a copy of them in `config.json`."""

import json
import os
from typing import Any

from estimator_clf.config import config_json
from estimator_clf.core.atomic_files import write_atomically
from estimator_clf.core.errors import ConfigError

FILE_NAME = 'transfer.json'


class PhaseRecords:
    """Facts about the phases that are done, by name, in the order of their ends."""

    def __init__(self, model_dir: str) -> None:
        """Reads those of the run that is resumed.

        Raises:
          ConfigError: the file is corrupt.
        """
        self._model_dir = model_dir
        self._path = os.path.join(model_dir, FILE_NAME)
        self._facts: dict[str, dict[str, Any]] = {}
        try:
            with open(self._path, encoding='utf-8') as file:
                self._facts = dict(json.load(file))
        except FileNotFoundError:
            return
        except (ValueError, TypeError) as error:
            raise ConfigError(f'{self._path} is corrupt: {error}') from None

    def get(self, phase: str) -> dict[str, Any] | None:
        """Returns the facts about a phase, None if it is not done."""
        return self._facts.get(phase)

    def add(self, phase: str, **facts: Any) -> None:
        """Records a phase as done."""
        self._facts[phase] = facts
        write_atomically(self._path, json.dumps(self._facts, indent=2) + '\n')
        self.publish()

    def clear(self) -> None:
        """Forgets all phases: the run starts again."""
        if self._facts:
            self._facts = {}
            write_atomically(self._path, '{}\n')

    def publish(self) -> None:
        """Copies the facts into `config.json`, which every start rewrites."""
        if self._facts:
            config_json.add_record(self._model_dir, phases=self._facts)
