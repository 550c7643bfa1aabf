"""Flags that are paths."""

from absl import flags

from estimator_clf.core.errors import ConfigError
from estimator_clf.core.paths import resolve_path

FLAGS = flags.FLAGS


class PathParser(flags.ArgumentParser):
    """Parser of the flags that are paths: see `estimator_clf.core.paths`."""

    syntactic_help = 'a path'

    def flag_type(self) -> str:
        """See the base class."""
        return 'string'

    def parse(self, argument: str) -> str:
        """Returns the absolute path; '', the default of most, is no path."""
        if not argument:
            return argument
        try:
            return resolve_path(argument, '')
        except ConfigError as error:
            raise ValueError(str(error).strip()) from None


def define_path(
    name: str, default: str | None = '', help: str = '', required: bool = False
) -> None:
    """Defines a flag that is a path.

    Args:
      name: of the flag.
      default: '' is no path.
      help: help text.
      required: whether it must be given.
    """
    flags.DEFINE(
        PathParser(),
        name,
        None if required else default,
        help,
        serializer=flags.ArgumentSerializer(),
        required=required,
    )


def check_paths() -> None:
    """Raises ConfigError if a flag for a path is given as an empty text.

    It would stand for the default: a mistake of a script whose variable is not set.
    """
    for name in FLAGS:
        flag = FLAGS[name]
        if isinstance(flag.parser, PathParser) and flag.present and flag.value == '':
            way_out = '' if flag.default is None else '; omit it for the default'
            raise ConfigError(f"--{name} must be a path, got ''{way_out}")
