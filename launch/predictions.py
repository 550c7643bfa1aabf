"""Where predictions go: a table, CSV or JSON lines; to a file, resumably.

A file is written as `FILE.partial` and gets its name when all is done. Beside it,
`FILE.partial.json` says what makes the lines: nobody goes on with another model.
"""

import csv
import io
import json
import os
import sys

from estimator_clf.core.atomic_files import write_atomically
from estimator_clf.core.errors import ConfigError
from estimator_clf.core.file_lock import lock_file

_PAIR = ('class', 'probability')


class Output:
    """Writes predictions; a context manager."""

    def __init__(self, kind, top, path='', facts=None):
        """Makes the output.

        Args:
          kind: 'table', 'csv' or 'jsonl'.
          top: how many classes a line has.
          path: file; '' is the standard output.
          facts: dict of JSON values that a resumed output must share.

        Raises:
          ConfigError: the file is there already, or was begun in another way.
        """
        #: Keys that an earlier, killed process has written.
        self.done = frozenset()
        self._kind, self._top, self._path = kind, top, path
        self._begun = False
        self._rows = []
        self._file = sys.stdout
        if path:
            self._open(facts or {})

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            self._finish()
        elif self._path:
            self._file.close()
        else:
            self._print_table()

    def write(self, key, result):
        """Writes a line.

        Args:
          key: what was classified.
          result: list of (class name, probability).
        """
        if self._kind == 'table':
            self._rows.append([key, *(x for pair in result for x in pair)])
        elif self._kind == 'jsonl':
            line = {'file': key, 'class': result[0][0], 'probability': result[0][1]}
            if self._top > 1:
                line['top'] = [{'class': n, 'probability': p} for n, p in result]
            self._file.write(json.dumps(line) + '\n')
        else:
            self._begin_csv(len(result))
            self._csv_row([key, *(x for n, p in result for x in (n, f'{p:.6f}'))])

    def _begin_csv(self, count):
        if not self._begun:
            # As many columns as there are: a model names no more than it has classes.
            more = (f'{n}_{i + 1}' for i in range(1, count) for n in _PAIR)
            self._csv_row(['file', *_PAIR, *more])
            self._begun = True

    def _csv_row(self, row):
        csv.writer(self._file, lineterminator='\n').writerow(row)

    def _finish(self):
        if self._kind == 'csv':
            self._begin_csv(1)
        self._print_table()
        self._file.flush()
        if self._path:
            os.fsync(self._file.fileno())
            self._file.close()
            os.rename(self._partial, self._path)
            os.remove(self._facts)

    def _print_table(self):
        if self._kind == 'table' and self._rows:
            from launch.terminal import table

            pairs = (len(self._rows[0]) - 1) // 2
            print(table(['file', *_PAIR * pairs], self._rows))

    def _open(self, facts):
        self._partial = self._path + '.partial'
        self._facts = self._partial + '.json'
        if os.path.exists(self._path):
            raise ConfigError(
                f'--output_file={self._path} is there already; remove it, or name '
                'another'
            )
        # Line by line would be a system call each; a kill loses a few at the most.
        self._file = open(
            self._partial, 'a', encoding='utf-8', errors='surrogateescape', newline=''
        )
        try:
            self._keep_others_out()
            if os.path.exists(self._facts):
                self._check(facts)
                self._take_up()
            else:
                os.truncate(self._partial, 0)
                write_atomically(self._facts, json.dumps(facts) + '\n')
        except BaseException:
            self._file.close()
            raise

    def _keep_others_out(self):
        taken = not lock_file(self._file)
        # Another may have come to its end between opening and locking.
        if taken or not os.path.exists(self._partial) or os.path.exists(self._path):
            raise ConfigError(
                f'--output_file={self._path} is being written by another process; wait '
                'for it, or name another'
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
                f'--output_file={self._path} was begun in another way: {listed}. '
                f'Remove {self._partial} to begin again'
            )

    def _take_up(self):
        """Reads the keys that are written, and drops a last line that was cut short."""
        with open(self._partial, 'rb') as file:
            data = file.read()
        lines, whole = [], 0
        if self._kind == 'jsonl':
            whole = data.rfind(b'\n') + 1
            lines = [json.loads(line)['file'] for line in data[:whole].splitlines()]
        else:
            text = data.decode('utf-8', 'surrogateescape')
            # A name may hold a line's end, in quotes: only the reader knows.
            rows = _whole_rows(text)
            whole = len(
                ''.join(raw for raw, _ in rows).encode(errors='surrogateescape')
            )
            lines = [row[0] for _, row in rows[1:]]
            self._begun = bool(rows)
        self.done = frozenset(lines)
        os.truncate(self._partial, whole)


def _whole_rows(text):
    """List of (text of a row of CSV, its cells), without one that was cut short."""
    rows, raw = [], ''
    for line in io.StringIO(text, newline='\n'):
        raw += line
        if raw.endswith('\n') and raw.count('"') % 2 == 0:
            rows.append((raw, next(csv.reader([raw]))))
            raw = ''
    return rows
