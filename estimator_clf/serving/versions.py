"""The versions of a model: found, loaded, exchanged while requests come in."""

import asyncio
import contextlib
import dataclasses
import logging
import os

import tensorflow as tf

from estimator_clf import export
from estimator_clf.core.errors import ConfigError
from estimator_clf.serving.policy import Policy
from estimator_clf.serving.servable import Servable
from estimator_clf.serving.status import ServingError

_logger = logging.getLogger(__name__)

_REMEMBERED = 100  # Versions that have ended and whose state is still told.


@dataclasses.dataclass
class Version:
    """One version and what has become of it.

    Attributes:
      number: its number.
      path: its directory.
      state: as `ModelVersionStatus.State` calls it.
      code, message: why it could not be loaded; ('OK', '') otherwise.
      servable: `Servable` while there is one.
      batchers: dict signature name -> `Batcher`.
      users: requests that use it at the moment.
      idle: set while there are none.
      stamp: what its directory looked like when it was loaded.
    """

    number: int
    path: str
    state: str = 'START'
    code: str = 'OK'
    message: str = ''
    servable: Servable | None = None
    batchers: dict = dataclasses.field(default_factory=dict)
    users: int = 0
    idle: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    stamp: tuple = ()


class Versions:
    """The versions of one model.

    All methods belong to the thread of the event loop; loading happens in others.
    """

    def __init__(self, name, directory, policy=None, labels=None, on_change=None):
        """Makes the object; nothing is loaded yet.

        Args:
          name: of the model.
          directory: the directory of the versions, or a SavedModel, which is then the
          only
            one.
          policy: `Policy`; by default the latest alone.
          labels: dict label -> number.
          on_change: function (Version), called when the state of one changes.
        """
        self.name, self.directory = name, directory
        self.policy, self.labels = policy or Policy(), dict(labels or {})
        self._on_change = on_change or (lambda version: None)
        self._versions = {}
        self._lock = asyncio.Lock()
        self._drains, self._polls = set(), set()

    async def start(self):
        """Loads what there is.

        Raises:
          ConfigError: nothing, or nothing that can be loaded; a label of nothing.
        """
        await self.poll()
        if not self._available():
            bad = [v for v in self._versions.values() if v.message]
            reason = f': {bad[-1].message}' if bad else ''
            raise ConfigError(
                f'`export_dir` must hold a SavedModel that can be loaded, but '
                f'{self.directory} has none{reason}'
            )
        for label, number in self.labels.items():
            if number not in self._available():
                raise ConfigError(
                    f'`version_labels={label}:{number}`: there is no such version in '
                    f'{self.directory}'
                )

    async def watch(self, seconds):
        """Looks for new versions for ever.

        Args:
          seconds: between two looks.
        """
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.poll()
            except Exception:  # A disk that is gone for a while is no reason to stop.
                _logger.exception('looking for new versions in %s', self.directory)

    async def poll(self):
        """Loads the versions that are wanted, then lets go of those that are not."""
        async with self._lock:
            found = await asyncio.to_thread(_find, self.directory)
            wanted = self.policy.wanted(found, self.labels)
            for number in sorted(wanted):
                await self._load(number, found[number])
            # Not before all that is to replace them is there. An empty directory, or a
            # version that cannot be loaded, leaves what is served as it is.
            if wanted and wanted <= self._available().keys():
                for number in self._available().keys() - wanted:
                    self._retire(self._versions[number])

    @contextlib.contextmanager
    def use(self, spec):
        """Lends the version that a request asks for; it stays loaded meanwhile.

        Args:
          spec: `ModelSpec`.

        Yields:
          `Version`.

        Raises:
          ServingError: there is none.
        """
        version = self._choose(spec)
        version.users += 1
        version.idle.clear()
        try:
            yield version
        finally:
            version.users -= 1
            if not version.users:
                version.idle.set()

    def statuses(self, spec):
        """Returns the versions that a request for the status asks for, newest first.

        Raises:
          ServingError: there are none.
        """
        if spec.name == self.name:
            number = self._number(spec)
            if number is None:
                numbers = sorted(self._versions, reverse=True)
                return [self._versions[n] for n in numbers]
            if number in self._versions:
                return [self._versions[number]]
            raise ServingError(
                'NOT_FOUND', f'Could not find version {number} of model {spec.name}'
            )
        raise ServingError(
            'NOT_FOUND', f'Could not find any versions of model {spec.name}'
        )

    async def reconfigure(self, policy, labels):
        """Takes another policy and other labels.

        Raises:
          ServingError: a label of a version that is not available.
        """
        old = self.policy, self.labels
        for label, number in labels.items():
            if number not in self._available():
                raise ServingError(
                    'FAILED_PRECONDITION',
                    f'Request to assign label {label} to version {number} of model '
                    f'{self.name}, which is not currently available for inference',
                )
        self.policy, self.labels = policy, dict(labels)
        # Who asked may give up waiting; a version that is half loaded must not stay so.
        poll = asyncio.get_running_loop().create_task(self.poll())
        self._polls.add(poll)
        poll.add_done_callback(self._polls.discard)
        try:
            await asyncio.shield(poll)
        except BaseException:
            self.policy, self.labels = old
            raise

    async def close(self):
        """Lets go of everything, each version when its last request is answered."""
        async with self._lock:
            for version in self._available().values():
                self._retire(version)
        await asyncio.gather(*self._drains)

    def _available(self):
        return {n: v for n, v in self._versions.items() if v.state == 'AVAILABLE'}

    def _number(self, spec):
        """The number that a request asks for; None for the latest."""
        kind = spec.WhichOneof('version_choice')
        if kind == 'version':
            return spec.version.value
        if kind == 'version_label' and spec.version_label:
            if spec.version_label not in self.labels:
                raise ServingError(
                    'INVALID_ARGUMENT',
                    f'Unrecognized servable version label: {spec.version_label}',
                )
            return self.labels[spec.version_label]
        return None

    def _choose(self, spec):
        available = self._available() if spec.name == self.name else {}
        number = self._number(spec) if spec.name == self.name else None
        if number is None and available:
            return available[max(available)]
        if number in available:
            return available[number]
        which = 'Latest' if number is None else 'Specific'
        what = spec.name if number is None else f'{spec.name}, {number}'
        raise ServingError(
            'NOT_FOUND', f'Servable not found for request: {which}({what})'
        )

    async def _load(self, number, path):
        known = self._versions.get(number)
        if known and known.state != 'END':
            return  # It is there.
        stamp = await asyncio.to_thread(_stamp, path)
        if known and known.message and known.stamp == stamp:
            return  # It failed, and is as it was.
        version = self._versions[number] = Version(number, path, stamp=stamp)
        version.idle.set()
        self._change(version, 'LOADING')
        try:
            version.servable = await asyncio.to_thread(_load_warm, path)
        except Exception as error:
            version.code = 'UNKNOWN'
            text = str(error).strip().partition('\n')[0][:300]
            version.message = text or type(error).__name__
            _logger.warning('%s cannot be loaded: %s', path, version.message)
            self._change(version, 'END')
        else:
            self._change(version, 'AVAILABLE')

    def _retire(self, version):
        """Takes a version out of service; the requests that it has are answered."""
        self._change(version, 'UNLOADING')
        task = asyncio.get_running_loop().create_task(self._drain(version))
        self._drains.add(task)
        task.add_done_callback(self._drains.discard)

    async def _drain(self, version):
        await version.idle.wait()
        servable, version.servable = version.servable, None
        version.batchers.clear()
        await asyncio.to_thread(servable.close)
        self._change(version, 'END')
        ended = [n for n, v in sorted(self._versions.items()) if v.state == 'END']
        for number in ended[:-_REMEMBERED]:
            del self._versions[number]

    def _change(self, version, state):
        version.state = state
        self._on_change(version)


def _find(directory):
    """Returns dict number -> path of the versions in a directory."""
    if tf.saved_model.contains_saved_model(directory):
        name = os.path.basename(os.path.abspath(directory))
        number = int(name) if name.isascii() and name.isdecimal() else 1
        return {number: directory}
    paths = export.list_versions(directory)
    return {int(os.path.basename(path)): path for path in paths}


def _stamp(path):
    """What tells a version from another that was put in its place, or is whole now."""
    found = []
    for directory, _, names in os.walk(path):  # A copy under way has them one by one.
        for name in names:
            with contextlib.suppress(OSError):
                facts = os.stat(os.path.join(directory, name))
                found.append((facts.st_mtime_ns, facts.st_size, facts.st_ino))
    return tuple(sorted(found))


def _load_warm(path):
    servable = Servable(path)
    try:
        servable.warm_up()
    except Exception as error:
        _logger.warning('%s: a warm-up request failed: %s', path, error)
    return servable
