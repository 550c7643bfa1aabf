"""What a check has found: counts and a few of each kind in memory, all in a file."""

import collections
import contextlib
import dataclasses
import json
import os
import tempfile

from input.validate.findings import KINDS, LEVELS


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing found.

    Attributes:
      kind: a name in `input.validate.findings.KINDS`.
      where: file, directory, record or class.
      detail: what exactly, in words.
      split: name of the split, or None.
      label: name of the class, or None.
      others: where the same is too, a tuple.
    """

    kind: str
    where: str
    detail: str
    split: str | None = None
    label: str | None = None
    others: tuple = ()

    def to_dict(self):
        """Returns it as a dict of JSON values."""
        level = KINDS[self.kind].level
        facts = dataclasses.asdict(self)
        return {'kind': facts.pop('kind'), 'level': level, **facts}


class Report:
    """Collects findings; a million of one kind take no more memory than ten."""

    def __init__(self, file=None, keep=5):
        """Makes an empty report.

        Args:
          file: text file to write every finding to, a JSON object a line.
          keep: how many findings of each kind to keep.
        """
        self._file = file
        self._keep = keep
        self.counts = collections.Counter()
        self.first = {}

    def add(self, finding):
        """Takes a `Finding`."""
        self.counts[finding.kind] += 1
        some = self.first.setdefault(finding.kind, [])
        if len(some) < self._keep:
            some.append(finding)
        self.write(finding.to_dict())

    def write(self, values):
        """Writes a line to the file, if there is one."""
        if self._file:
            # Names that are not UTF-8 come as lone surrogates; \udc80 is JSON, too.
            self._file.write(json.dumps(values) + '\n')

    def kinds(self):
        """Names of the kinds found, the worst first."""
        return [name for name in KINDS if self.counts[name]]

    def levels(self):
        """dict level -> number of findings."""
        totals = dict.fromkeys(LEVELS, 0)
        for name, count in self.counts.items():
            totals[KINDS[name].level] += count
        return totals


@contextlib.contextmanager
def lines_file(path):
    """A text file that appears under its name when the block ends without an error.

    Args:
      path: the file, or an empty text: then there is none, and None is handed out.
    """
    if not path:
        yield None
        return
    directory = os.path.dirname(os.path.abspath(path))
    handle, partial = tempfile.mkstemp(dir=directory, prefix='.partial-')
    try:
        with os.fdopen(handle, 'w', encoding='utf-8') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(partial, 0o644)  # mkstemp's is for the owner alone.
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
        raise
