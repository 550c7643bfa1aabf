"""Finds the files of published weights: in a directory, in Keras's cache, or online."""

import os
from collections.abc import Callable, Iterator

from estimator_clf.core.errors import ConfigError, RunError
from estimator_clf.warm_start.download import download, has_digest

#: Environment variable with the default of `weights_dir`.
VARIABLE = 'ESTIMATOR_CLF_WEIGHTS'


class WeightFiles:
    """Published files by name; a `FindFile`."""

    def __init__(self, directory: str, log: Callable[[str], None]) -> None:
        """Sets where to look first.

        Args:
          directory: with weight files; '': that in `ESTIMATOR_CLF_WEIGHTS`, if set.
          log: receives where each file was found.

        Raises:
          ConfigError: `directory` does not exist.
        """
        if directory and not os.path.isdir(directory):
            raise ConfigError(
                f'`weights_dir={directory}` must be a directory with weight files; '
                'there is none'
            )
        self._directory = directory or os.environ.get(VARIABLE, '')
        self._log = log

    def local(self, path: str) -> str:
        """Returns a path, or, if only the directory has such a file, that file's."""
        inside = os.path.join(self._directory, path)
        if self._directory and not os.path.exists(path) and os.path.isfile(inside):
            return inside
        return path

    def __call__(self, name: str, url: str | None, digest: str | None) -> str:
        """Finds a file, see `FindFile`.

        Raises:
          ConfigError: it is not there, and has no address, or a directory is missing.
          RunError: the file in the directory has another hash, or the download failed.
        """
        if self._directory and not os.path.isdir(self._directory):
            raise ConfigError(
                f'the environment variable {VARIABLE}={self._directory} must name a '
                'directory with weight files; there is none'
            )
        cache = keras_cache()
        for directory in self._directories():
            path = os.path.join(directory, name)
            if not os.path.isfile(path):
                continue
            if digest and not has_digest(path, digest):
                if directory == cache and url:
                    self._log(f'Weights: {path} has another hash; downloading it again')
                    continue
                raise RunError(
                    f'{path} is corrupt or of another version: its hash must be '
                    f'{digest}; replace or delete it'
                )
            self._log(f'Weights: {path}')
            return path
        if url is None:
            raise ConfigError(
                f'there is no {name}, which has no official address: copy it to '
                f'{self._directory or cache}, or give its path as `weights=PATH`'
            )
        path = os.path.join(cache, name)
        download(url, path, digest, self._log)
        self._log(f'Weights: {path}, downloaded from {url}')
        return path

    def _directories(self) -> Iterator[str]:
        if self._directory:
            yield self._directory
        yield keras_cache()


def keras_cache() -> str:
    """Returns the directory in which Keras stores published weights."""
    home = os.environ.get('KERAS_HOME') or os.path.join('~', '.keras')
    return os.path.join(os.path.expanduser(home), 'models')
