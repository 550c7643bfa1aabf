"""Counts what is in a directory of data and is not used."""

import collections
import os
from collections.abc import Iterable, Iterator

# Names that are listed per reason; the others are counted.
_LISTED = 4


class Skipped:
    """Files and directories that a dataset does not use, by reason.

    Attributes:
      root: the directory of the dataset; names are relative to it.
    """

    def __init__(self, root: str = ''):
        self.root = root
        # reason -> dict name to list -> number of files.
        self._counts: dict[str, collections.Counter[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, reason: str, path: str, count: int = 1) -> None:
        """Adds files.

        Args:
          reason: why they are not used, such as 'no image'.
          path: the file, or the directory that contains them.
          count: number of files.
        """
        self._counts.setdefault(reason, collections.Counter())[path] += count

    def count(self) -> int:
        """Returns the number of files."""
        return sum(sum(of_reason.values()) for of_reason in self._counts.values())

    def items(self) -> Iterator[tuple[str, str, int]]:
        """Yields (reason, path, number of files)."""
        for reason, of_reason in self._counts.items():
            for path, count in of_reason.items():
                yield reason, path, count

    def summary(self) -> str | None:
        """Returns one line with numbers, names and reasons; None if all is used."""
        if not self._counts:
            return None
        parts = []
        for reason, of_reason in self._counts.items():
            names = [self._name(path) for path in list(of_reason)[:_LISTED]]
            more = ', …' if len(of_reason) > _LISTED else ''
            total = sum(of_reason.values())
            number = f'{total} {"file" if total == 1 else "files"}, ' if total else ''
            parts.append(f'{number}{reason} ({", ".join(names)}{more})')
        return 'Not used: ' + '; '.join(parts)

    def _name(self, path: str) -> str:
        name = os.path.relpath(path, self.root) if self.root else path
        return ascii(name)[1:-1] if not name.isprintable() else name


def by_extension(paths: Iterable[str]) -> str:
    """Returns the extensions of files with their numbers: '10 .webp, 2 .heic'."""
    found = collections.Counter(
        os.path.splitext(path)[1].lower() or 'without extension' for path in paths
    )
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    shown = [f'{count} {extension}' for extension, count in ranked[:_LISTED]]
    return ', '.join(shown) + (', …' if len(found) > _LISTED else '')
