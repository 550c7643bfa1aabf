"""Report of a check: counts and a few findings in memory, all of them in a file."""

import collections
import contextlib
import dataclasses
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from estimator_clf.core.errors import DataError
from estimator_clf.core.paths import special_file
from input.validate.findings import KINDS, LEVELS


@dataclasses.dataclass(frozen=True)
class Finding:
    """One finding.

    Attributes:
      kind: a name in `input.validate.findings.KINDS`.
      where: file, directory, record or class.
      detail: the details, as text.
      split: name of the split, or None.
      label: name of the class, or None.
      others: the other places of the same finding.
    """

    kind: str
    where: str
    detail: str
    split: str | None = None
    label: str | None = None
    others: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns the finding as a dict of JSON values."""
        level = KINDS[self.kind].level
        facts = dataclasses.asdict(self)
        return {'kind': facts.pop('kind'), 'level': level, **facts}


class Report:
    """Collects findings; a million of one kind take no more memory than ten.

    Attributes:
      counts: dict kind -> number of findings.
      first: dict kind -> the first findings.
    """

    def __init__(self, file: TextIO | None = None, keep: int = 5):
        """Makes an empty report.

        Args:
          file: text file for all findings, one JSON object per line.
          keep: number of findings of each kind to retain in memory.
        """
        self._file = file
        self._keep = keep
        self.counts: collections.Counter[str] = collections.Counter()
        self.first: dict[str, list[Finding]] = {}

    def add(self, finding: Finding) -> None:
        """Adds a finding."""
        self.counts[finding.kind] += 1
        some = self.first.setdefault(finding.kind, [])
        if len(some) < self._keep:
            some.append(finding)
        self.write(finding.to_dict())

    def write(self, values: Mapping[str, Any]) -> None:
        """Writes a line to the file, if there is one."""
        if self._file:
            # Names that are not UTF-8 contain lone surrogates; \udc80 is valid JSON.
            self._file.write(json.dumps(values) + '\n')

    def kinds(self) -> list[str]:
        """Returns the names of the kinds found, the most severe first."""
        return [name for name in KINDS if self.counts[name]]

    def levels(self) -> dict[str, int]:
        """Returns dict level -> number of findings."""
        totals = dict.fromkeys(LEVELS, 0)
        for name, count in self.counts.items():
            totals[KINDS[name].level] += count
        return totals


@contextlib.contextmanager
def lines_file(path: str | None) -> Iterator[TextIO | None]:
    """Yields a text file that gets its name when the block ends without an error.

    Args:
      path: the file; None or empty: yields None.
    """
    if not path:
        yield None
        return
    kind = special_file(path)
    # Renaming a file to /dev/stdout would replace the link for every program.
    if kind or os.path.abspath(path).startswith('/dev/'):
        raise DataError(
            f'`report` must be a regular file, but {path} is {kind or "a device"}'
        )
    directory = os.path.dirname(os.path.abspath(path))
    handle, partial = tempfile.mkstemp(dir=directory, prefix='.partial-')
    try:
        with os.fdopen(handle, 'w', encoding='utf-8') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(partial, 0o644)  # mkstemp's is readable by its owner only.
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
        raise
