"""Rules of a warm start: which variables it restores, under which names."""

import dataclasses
import re
from collections.abc import Iterable, Sequence

from estimator_clf.config.model import ModelConfig
from estimator_clf.core.call_syntax import parse_list, parse_mapping
from estimator_clf.core.errors import ConfigError
from estimator_clf.core.variable_patterns import matches


@dataclasses.dataclass(frozen=True)
class WarmStartRules:
    """Patterns are searched for anywhere in a name (`re.search`).

    Attributes:
      include: patterns of the new network's variables to restore; none: all of them.
      exclude: patterns of variables among these that are not restored.
      renames: pairs (pattern, replacement) for names of the source, applied in this
        order as `re.sub` does.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    renames: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, config: ModelConfig) -> 'WarmStartRules':
        """Makes the rules that the settings `warm_start_...` describe.

        Raises:
          ConfigError: rules without `warm_start`, or an invalid rule.
        """
        texts = {
            name: getattr(config, f'warm_start_{name}')
            for name in ('include', 'exclude', 'map')
        }
        for name, text in texts.items():
            if text and not config.warm_start:
                raise ConfigError(
                    f'`warm_start_{name}` requires `warm_start`, got {text!r}'
                )
        return cls.parse(*texts.values())

    @classmethod
    def parse(
        cls, include: str = '', exclude: str = '', renames: str = ''
    ) -> 'WarmStartRules':
        """Parses lists of patterns, and `FROM=TO` pairs for renames.

        Raises:
          ConfigError: an invalid regular expression, or another syntax.
        """
        rules = cls(
            parse_list(include, 'warm_start_include'),
            parse_list(exclude, 'warm_start_exclude'),
            tuple(parse_mapping(renames, 'warm_start_map').items()),
        )
        for pattern in rules.include:
            _check('warm_start_include', pattern)
        for pattern in rules.exclude:
            _check('warm_start_exclude', pattern)
        for pattern, replacement in rules.renames:
            _check('warm_start_map', pattern, replacement)
        return rules

    def includes(self, name: str) -> bool:
        """Returns whether a variable of the new network is to be restored."""
        if self.include and not matches(self.include, name):
            return False
        return not matches(self.exclude, name)

    def renamed(self, name: str) -> str:
        """Returns the new network's name for a variable of the source."""
        for pattern, replacement in self.renames:
            name = re.sub(pattern, replacement, name)
        return name

    def check_found(self, targets: Sequence[str], sources: Sequence[str]) -> None:
        """Checks that each pattern occurs in a name: one that does not is a mistake.

        Args:
          targets: names of the new network's variables.
          sources: names of the source's variables.

        Raises:
          ConfigError: a pattern occurs in no name.
        """
        for rule, patterns, names in (
            ('include', self.include, targets),
            ('exclude', self.exclude, targets),
            ('map', [pattern for pattern, _ in self.renames], sources),
        ):
            for pattern in patterns:
                if not any(re.search(pattern, name) for name in names):
                    where = 'the source' if rule == 'map' else 'the network'
                    raise ConfigError(
                        f'`warm_start_{rule}`: no variable of {where} has {pattern!r} '
                        f'in its name. There are: {listed(names)}'
                    )


def listed(names: Iterable[str], count: int = 12) -> str:
    """Returns a comma-separated list of at most `count` names."""
    names = list(names)
    more = f', … ({len(names)} in all)' if len(names) > count else ''
    return (', '.join(names[:count]) or 'none') + more


def _check(argument, pattern, replacement=''):
    try:
        # Missing groups of the pattern are found only by using the replacement.
        re.compile(pattern).sub(replacement, '')
    except (re.error, IndexError) as error:
        raise ConfigError(
            f'`{argument}` must be regular expressions, got {pattern!r}'
            + (f' and {replacement!r}' if replacement else '')
            + f': {error}'
        ) from None
