"""Loads, replaces and unloads the versions of a model while requests are served."""

import asyncio
import contextlib
import dataclasses
import logging
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import tensorflow as tf

from estimator_clf import export
from estimator_clf.core.errors import ConfigError
from estimator_clf.serving.batching import Batcher
from estimator_clf.serving.errors import ServingError, invalid_argument
from estimator_clf.serving.servable import Servable

_logger = logging.getLogger(__name__)

_MAX_ENDED = 100  # Unloaded versions whose state is still reported.


@dataclasses.dataclass(frozen=True)
class VersionPolicy:
    """Which versions to serve, as TensorFlow Serving's `ServableVersionPolicy`.

    Attributes:
      latest: how many of the highest numbers.
      all_versions: serve every version; overrides `latest`.
      specific: these numbers, instead of `latest`.
    """

    latest: int = 1
    all_versions: bool = False
    specific: frozenset[int] = frozenset()

    def select(self, numbers: Collection[int], labels: Mapping[str, int]) -> set[int]:
        """Returns the version numbers to serve.

        Args:
          numbers: existing version numbers.
          labels: label -> version number; labeled versions are served too.
        """
        labeled = set(labels.values()) & set(numbers)
        if self.all_versions:
            return set(numbers)
        if self.specific:
            return set(self.specific) & set(numbers) | labeled
        return set(sorted(numbers)[-self.latest :]) | labeled


def parse_labels(text: str) -> dict[str, int]:
    """Parses labels of versions, such as 'stable:3,canary:4'.

    Raises:
      ConfigError: the text has another format.
    """
    labels = {}
    for part in text.split(',') if text else ():
        label, colon, number = part.strip().rpartition(':')
        if not colon or not label or not (number.isascii() and number.isdecimal()):
            raise ConfigError(
                '`version_labels` must have the form label:number, separated by '
                f"commas, such as 'stable:3,canary:4', got {text!r}"
            )
        labels[label] = int(number)
    return labels


@dataclasses.dataclass
class Version:
    """State of one version.

    Attributes:
      number: its number.
      path: its directory.
      state: name of a `ModelVersionStatus.State`.
      error: why it could not be loaded.
      servable: the loaded model.
      batchers: signature name -> queue of requests.
      users: number of requests that use it.
      idle: set while `users` is 0.
      fingerprint: of its files when it was loaded.
    """

    number: int
    path: str
    fingerprint: tuple
    state: str = 'START'
    error: ServingError | None = None
    servable: Servable | None = None
    batchers: dict[str, Batcher] = dataclasses.field(default_factory=dict)
    users: int = 0
    idle: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)


class VersionManager:
    """The versions of one model.

    All methods belong to the thread of the event loop; loading happens in others.
    """

    def __init__(
        self,
        name: str,
        directory: str,
        policy: VersionPolicy | None = None,
        labels: Mapping[str, int] | None = None,
        on_change: Callable[[int, str], None] = lambda number, state: None,
    ) -> None:
        """Creates the manager; `start` loads the versions.

        Args:
          name: name of the model.
          directory: directory of the versions, or a SavedModel, which is then the only
            version.
          policy: which versions to serve; the latest one by default.
          labels: label -> version number.
          on_change: receives number and state of a version when its state changes.
        """
        self.name, self.directory = name, directory
        self._policy, self._labels = policy or VersionPolicy(), dict(labels or {})
        self._on_change = on_change
        self._versions: dict[int, Version] = {}
        self._lock = asyncio.Lock()
        self._drains: set[asyncio.Task] = set()
        self._polls: set[asyncio.Task] = set()

    async def start(self) -> None:
        """Loads the versions that exist.

        Raises:
          ConfigError: none can be loaded, or a label names none of them.
        """
        await self.poll()
        if not self._available():
            errors = [str(v.error) for v in self._versions.values() if v.error]
            reason = f': {errors[-1]}' if errors else ''
            raise ConfigError(
                f'`export_dir` must contain a SavedModel that can be loaded, but '
                f'{self.directory} has none{reason}'
            )
        for label, number in self._labels.items():
            if number not in self._available():
                raise ConfigError(
                    f'`version_labels={label}:{number}` must name a version in '
                    f'{self.directory}, which has {self._numbers_text()}'
                )

    async def poll_forever(self, seconds: float) -> None:
        """Looks for new versions at an interval."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.poll()
            except Exception:  # A file system may be unavailable for a while.
                _logger.exception('cannot look for versions in %s', self.directory)

    async def poll(self) -> None:
        """Loads the selected versions, then unloads the others."""
        async with self._lock:
            paths = await asyncio.to_thread(_find_versions, self.directory)
            selected = self._policy.select(paths, self._labels)
            for number in sorted(selected):
                await self._load(number, paths[number])
            # Only once every replacement is loaded: an empty directory, or a version
            # that cannot be loaded, must not end the service.
            if selected and selected <= self._available().keys():
                for number in self._available().keys() - selected:
                    self._unload(self._versions[number])

    @contextlib.contextmanager
    def use(self, spec: Any = None) -> Iterator[Version]:
        """Yields the version for a request; it stays loaded within the block.

        Args:
          spec: `ModelSpec` of the request; None for the latest version.

        Raises:
          ServingError: no such version is available.
        """
        available = self._available()
        number = None if spec is None else self._requested_number(spec)
        if number is None and available:
            number = max(available)
        if number not in available:
            raise ServingError(
                'NOT_FOUND',
                f'version {number} of model {self.name} is not available; available: '
                f'{self._numbers_text()}',
            )
        version = available[number]
        version.users += 1
        version.idle.clear()
        try:
            yield version
        finally:
            version.users -= 1
            if not version.users:
                version.idle.set()

    def statuses(self, spec: Any) -> list[Version]:
        """Returns the versions that a status request asks for, newest first.

        Raises:
          ServingError: there are none.
        """
        number = self._requested_number(spec)
        if number is None:
            return [v for _, v in sorted(self._versions.items(), reverse=True)]
        if number in self._versions:
            return [self._versions[number]]
        known = ', '.join(map(str, sorted(self._versions)))
        raise ServingError(
            'NOT_FOUND',
            f'there is no version {number} of model {self.name}; known: {known}',
        )

    async def reconfigure(
        self, policy: VersionPolicy, labels: Mapping[str, int]
    ) -> None:
        """Replaces policy and labels, and loads and unloads accordingly.

        Raises:
          ServingError: a label names a version that is not available.
        """
        previous = self._policy, self._labels
        for label, number in labels.items():
            if number not in self._available():
                raise ServingError(
                    'FAILED_PRECONDITION',
                    f'label {label} must name an available version of model '
                    f'{self.name}, got {number}; available: {self._numbers_text()}',
                )
        self._policy, self._labels = policy, dict(labels)
        # Shielded: a canceled request must not leave a version half loaded.
        poll = asyncio.get_running_loop().create_task(self.poll())
        self._polls.add(poll)
        poll.add_done_callback(self._polls.discard)
        try:
            await asyncio.shield(poll)
        except BaseException:
            self._policy, self._labels = previous
            raise

    async def close(self) -> None:
        """Unloads every version after its last request."""
        async with self._lock:
            for version in self._available().values():
                self._unload(version)
        await asyncio.gather(*self._drains)

    def _available(self) -> dict[int, Version]:
        return {n: v for n, v in self._versions.items() if v.state == 'AVAILABLE'}

    def _numbers_text(self) -> str:
        return ', '.join(map(str, sorted(self._available()))) or '(none)'

    def _requested_number(self, spec: Any) -> int | None:
        """Returns the version number in a `ModelSpec`; None for the latest."""
        if spec.name != self.name:
            raise ServingError(
                'NOT_FOUND', f'this server has the model {self.name}, got {spec.name}'
            )
        kind = spec.WhichOneof('version_choice')
        if kind == 'version':
            return spec.version.value
        if kind == 'version_label' and spec.version_label:
            if spec.version_label not in self._labels:
                known = ', '.join(sorted(self._labels)) or '(none)'
                raise invalid_argument(
                    f'the version label must be one of {known}, got '
                    f'{spec.version_label}'
                )
            return self._labels[spec.version_label]
        return None

    async def _load(self, number, path):
        previous = self._versions.get(number)
        if previous and previous.state != 'END':
            return
        fingerprint = await asyncio.to_thread(_fingerprint, path)
        if previous and previous.error and previous.fingerprint == fingerprint:
            return  # It failed to load and has not changed since.
        version = self._versions[number] = Version(number, path, fingerprint)
        version.idle.set()
        self._set_state(version, 'LOADING')
        try:
            version.servable = await asyncio.to_thread(_load_warm, path)
        except Exception as error:
            text = str(error).strip().partition('\n')[0][:300] or type(error).__name__
            version.error = ServingError('UNKNOWN', text)
            _logger.warning('cannot load %s: %s', path, text)
            self._set_state(version, 'END')
        else:
            self._set_state(version, 'AVAILABLE')

    def _unload(self, version):
        """Accepts no more requests for a version; those in progress are finished."""
        self._set_state(version, 'UNLOADING')
        task = asyncio.get_running_loop().create_task(self._drain(version))
        self._drains.add(task)
        task.add_done_callback(self._drains.discard)

    async def _drain(self, version):
        await version.idle.wait()
        servable, version.servable = version.servable, None
        version.batchers.clear()
        await asyncio.to_thread(servable.close)
        self._set_state(version, 'END')
        ended = [n for n, v in sorted(self._versions.items()) if v.state == 'END']
        for number in ended[:-_MAX_ENDED]:
            del self._versions[number]

    def _set_state(self, version, state):
        version.state = state
        self._on_change(version.number, state)


def _find_versions(directory: str) -> dict[int, str]:
    """Returns version number -> path."""
    if tf.saved_model.contains_saved_model(directory):
        name = os.path.basename(os.path.abspath(directory))
        number = int(name) if name.isascii() and name.isdecimal() else 1
        return {number: directory}
    return {
        int(os.path.basename(path)): path for path in export.list_versions(directory)
    }


def _fingerprint(directory: str) -> tuple:
    """Returns a value that changes when the files below a directory change."""
    facts = []
    for parent, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):
                status = os.stat(os.path.join(parent, name))
                facts.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(sorted(facts))


def _load_warm(path: str) -> Servable:
    servable = Servable(path)
    try:
        servable.warm_up()
    except Exception as error:
        _logger.warning('%s: the warm-up requests cannot be run: %s', path, error)
    return servable
