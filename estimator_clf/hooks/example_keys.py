"""Log of the examples of each training step."""

import json
import os
from typing import Any

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

from estimator_clf.core.graph_collections import EXAMPLE_KEYS
from estimator_clf.hooks.base import StepHook

FILE_NAME = 'keys.jsonl'


class ExampleKeysHook(StepHook):
    """Writes the keys of the examples of each step to `keys.jsonl`.

    After a kill and a restart the file contains each step once, like that of an
    uninterrupted run.
    """

    def __init__(self, model_dir: str, collection: str = EXAMPLE_KEYS) -> None:
        """Makes the hook.

        Args:
          model_dir: directory of the file.
          collection: graph collection of string tensors [b]: the keys, one tensor per
            replica; or one ragged tensor [steps, b] where a `session.run` takes
            several steps.
        """
        self._path = os.path.join(model_dir, FILE_NAME)
        self._collection = collection

    def begin(self) -> None:
        self._keys = tf.compat.v1.get_collection(self._collection)

    def on_start(self, session: tf.compat.v1.Session) -> None:
        # Truncated in place, not rewritten: the file may be larger than the memory.
        with open(self._path, 'a+b') as file:
            file.seek(0)
            end = 0
            for line in file:
                if not self._is_current(line):
                    break
                end += len(line)
            file.truncate(end)

    def _is_current(self, line):
        """Whether a line is complete and of a step that is not taken again."""
        try:
            return line.endswith(b'\n') and json.loads(line)['step'] <= self.step
        except (ValueError, KeyError, TypeError):
            return False

    def before_run(self, run_context: Any) -> Any:
        return tf.compat.v1.train.SessionRunArgs(self._keys)

    def after_step(self, run_context: Any, results: Any) -> None:
        if len(results) == 1 and hasattr(results[0], 'to_list'):
            rows = results[0].to_list()
        else:
            rows = [[key for part in results for key in part]]
        text = ''
        for step, row in enumerate(rows, self.step - len(rows) + 1):
            keys = [key.decode(errors='replace') for key in row]
            text += json.dumps({'step': step, 'keys': keys}) + '\n'
        with open(self._path, 'a', encoding='utf-8') as file:
            file.write(text)
