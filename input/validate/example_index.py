"""Index of all examples: name, split, class and two hashes.

Some 30 bytes per example and its name, whatever the size of the images; duplicates
follow at the end from sorting the hashes.
"""

import array
import collections
from collections.abc import Iterator, Sequence

import numpy as np

from input.validate.report import Finding


class ExampleIndex:
    """Compact index of examples, which finds duplicates.

    Attributes:
      counts: dict split -> dict class -> number of examples.
    """

    def __init__(self) -> None:
        self._names, self._ends = bytearray(), array.array('Q')
        self._splits, self._labels = _Numbers(), _Numbers()
        self._split, self._label = array.array('H'), array.array('I')
        self._data, self._pixels = array.array('Q'), array.array('Q')
        self.counts: dict[str, collections.Counter[str]] = collections.defaultdict(
            collections.Counter
        )

    def add(
        self, where: str, split: str, label: str, data: int = 0, pixels: int = 0
    ) -> None:
        """Adds an example.

        Args:
          where: its name.
          split: name of its split.
          label: name of its class.
          data: 64-bit hash of its bytes.
          pixels: 64-bit hash of its pixels; 0 without pixels.
        """
        self._names += where.encode('utf-8', 'surrogateescape')
        self._ends.append(len(self._names))
        self._split.append(self._splits.of(split))
        self._label.append(self._labels.of(label))
        self._data.append(data)
        self._pixels.append(pixels)
        self.counts[split][label] += 1

    def __len__(self) -> int:
        return len(self._ends)

    def name(self, index: int) -> str:
        """Returns the name of an example."""
        start = self._ends[index - 1] if index else 0
        name = self._names[start : self._ends[index]]
        return name.decode('utf-8', 'surrogateescape')

    def duplicates(self) -> Iterator[Finding]:
        """Yields a finding for every image that occurs more than once.

        Two of a million different images have the same 64-bit hash once in 10^7
        datasets.
        """
        pixels = np.frombuffer(self._pixels, np.uint64)
        order = np.argsort(pixels, kind='stable')
        ordered = pixels[order]
        begins = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] ^ np.uint64(1)))
        ends = np.append(begins, len(ordered))[1:]
        several = (ends - begins > 1) & (ordered[begins] != 0)
        pairs = zip(begins[several], ends[several], strict=True)
        # In the order in which their first images were added.
        for group in sorted(order[b:e].tolist() for b, e in pairs):
            yield from self._findings(group)

    def _findings(self, group: Sequence[int]) -> Iterator[Finding]:
        cells: dict[tuple[int, int], list[int]] = {}
        for index in group:
            cells.setdefault((self._split[index], self._label[index]), []).append(index)
        for kind, column in (('leak', self._split), ('two_labels', self._label)):
            other = next((i for i in group if column[i] != column[group[0]]), None)
            if other is not None:
                yield self._finding(kind, [group[0], other], group)
        for cell in cells.values():
            if len(cell) > 1:
                yield self._finding('duplicate', cell[:2], cell)

    def _finding(self, kind: str, pair: Sequence[int], group: Sequence[int]) -> Finding:
        """Makes a finding on a group, described by two of its members."""
        one, other = pair
        how = 'bytes' if self._data[one] == self._data[other] else 'pixels'
        detail = f'the same {how} as {self.name(other)}'
        if kind == 'two_labels':
            detail += f', {self._labels.names[self._label[other]]!r}'
        if len(group) > 2:
            detail += f'; {len(group)} in all'
        return Finding(
            kind,
            self.name(one),
            detail,
            self._splits.names[self._split[one]],
            self._labels.names[self._label[one]],
            tuple(self.name(index) for index in group if index != one),
        )


class _Numbers:
    """Numbers names in the order of their first occurrence."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}

    def of(self, name: str) -> int:
        """Returns the number of a name."""
        if name not in self._numbers:
            self._numbers[name] = len(self.names)
            self.names.append(name)
        return self._numbers[name]
