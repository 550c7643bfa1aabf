"""Output of predictions: a table, CSV or JSON lines; to a file, resumably.

A file is written as `FILE.partial` and gets its name when it is complete.
`FILE.partial.json` records how its lines are made, so that no other model continues it.
"""

import csv
import io
import json
import os
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from estimator_clf.core.atomic_files import write_atomically
from estimator_clf.core.errors import ConfigError
from estimator_clf.core.file_lock import lock_file

_PAIR = ('class', 'probability')


class Output:
    """Writes predictions; a context manager.

    Attributes:
      done: keys that an earlier, killed process has written.
    """

    def __init__(
        self,
        kind: str,
        top: int,
        path: str = '',
        facts: Mapping[str, Any] | None = None,
    ):
        """Makes the output.

        Args:
          kind: 'table', 'csv' or 'jsonl'.
          top: number of classes per line.
          path: file; '' is standard output.
          facts: JSON values that must be equal for a file to be resumed.

        Raises:
          ConfigError: the file exists, or was started with other facts.
        """
        self.done: frozenset[str] = frozenset()
        self._kind, self._top, self._path = kind, top, path
        self._has_header = False
        self._rows: list[list] = []
        self._file = sys.stdout
        if path:
            self._open(facts or {})

    def __enter__(self) -> 'Output':
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._finish()
        elif self._path:
            self._file.close()
        else:
            self._print_table()

    def write(self, key: str, result: Sequence[tuple[str, float]]) -> None:
        """Writes a line.

        Args:
          key: what was classified.
          result: (class name, probability), the most probable first.
        """
        if self._kind == 'table':
            self._rows.append([key, *(x for pair in result for x in pair)])
        elif self._kind == 'jsonl':
            line: dict[str, Any] = {
                'file': key,
                'class': result[0][0],
                'probability': result[0][1],
            }
            if self._top > 1:
                line['top'] = [{'class': n, 'probability': p} for n, p in result]
            self._file.write(json.dumps(line) + '\n')
        else:
            self._write_header(len(result))
            self._write_row([key, *(x for n, p in result for x in (n, f'{p:.6f}'))])

    def _write_header(self, count):
        if not self._has_header:
            # The columns of the classes there are: a model has at most all of its own.
            more = (f'{n}_{i + 1}' for i in range(1, count) for n in _PAIR)
            self._write_row(['file', *_PAIR, *more])
            self._has_header = True

    def _write_row(self, row):
        csv.writer(self._file, lineterminator='\n').writerow(row)

    def _finish(self):
        if self._kind == 'csv':
            self._write_header(1)
        self._print_table()
        self._file.flush()
        if self._path:
            os.fsync(self._file.fileno())
            self._file.close()
            os.rename(self._partial, self._path)
            os.remove(self._facts)

    def _print_table(self):
        if self._kind == 'table' and self._rows:
            from launch.output.terminal import table

            pairs = (len(self._rows[0]) - 1) // 2
            print(table(['file', *_PAIR * pairs], self._rows))

    def _open(self, facts):
        self._partial = self._path + '.partial'
        self._facts = self._partial + '.json'
        if os.path.exists(self._path):
            raise ConfigError(
                f'--output_file={self._path} exists already; remove it, or use another'
            )
        # Buffered: a system call per line costs more than the few lines a kill loses.
        self._file = open(
            self._partial, 'a', encoding='utf-8', errors='surrogateescape', newline=''
        )
        try:
            self._lock()
            if os.path.exists(self._facts):
                self._check(facts)
                self._resume()
            else:
                os.truncate(self._partial, 0)
                write_atomically(self._facts, json.dumps(facts) + '\n')
        except BaseException:
            self._file.close()
            raise

    def _lock(self):
        taken = not lock_file(self._file)
        # Another process may have finished between opening and locking.
        if taken or not os.path.exists(self._partial) or os.path.exists(self._path):
            raise ConfigError(
                f'--output_file={self._path} is being written by another process; wait '
                'for it, or use another'
            )

    def _check(self, facts):
        with open(self._facts, encoding='utf-8') as file:
            before = json.load(file)
        different = [n for n in facts if facts[n] != before.get(n, facts[n])]
        if different:
            listed = ', '.join(
                f'{name} was {before.get(name)!r}, is {facts[name]!r}'
                for name in different
            )
            raise ConfigError(
                f'--output_file={self._path} was started in another way: {listed}. '
                f'Remove {self._partial} to start over'
            )

    def _resume(self):
        """Reads the keys that are written, and removes a last line that is partial."""
        with open(self._partial, 'rb') as file:
            data = file.read()
        keys, whole = [], 0
        if self._kind == 'jsonl':
            whole = data.rfind(b'\n') + 1
            keys = [json.loads(line)['file'] for line in data[:whole].splitlines()]
        else:
            text = data.decode('utf-8', 'surrogateescape')
            # A quoted name may contain a line end: only a CSV reader finds the rows.
            rows = _complete_rows(text)
            whole = len(
                ''.join(raw for raw, _ in rows).encode(errors='surrogateescape')
            )
            keys = [row[0] for _, row in rows[1:]]
            self._has_header = bool(rows)
        self.done = frozenset(keys)
        os.truncate(self._partial, whole)


def _complete_rows(text):
    """List of (text of a row of CSV, its cells), without a partial last row."""
    rows, raw = [], ''
    for line in io.StringIO(text, newline='\n'):
        raw += line
        if raw.endswith('\n') and raw.count('"') % 2 == 0:
            rows.append((raw, next(csv.reader([raw]))))
            raw = ''
    return rows
