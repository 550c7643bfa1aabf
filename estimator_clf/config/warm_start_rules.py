"""Which variables a warm start restores, under which names. Free of TensorFlow."""

import dataclasses
import re

from estimator_clf.core.errors import ConfigError
from estimator_clf.core.variable_patterns import matches


@dataclasses.dataclass(frozen=True)
class WarmStartRules:
    """Patterns are searched for anywhere in a name (`re.search`).

    Attributes:
      include: patterns of the new network's variables; none: all of them.
      exclude: patterns of those of them that begin fresh all the same.
      renames: pairs (pattern, replacement) for the names of the source, applied in
        this order as `re.sub` does.
    """

    include: tuple = ()
    exclude: tuple = ()
    renames: tuple = ()

    @classmethod
    def parse(cls, include='', exclude='', renames=''):
        """Reads what the flags say: patterns between commas, `FROM=TO` for renames.

        Raises:
          ConfigError: no regular expression, or a rename that is not written so.
        """
        pairs = []
        for part in _parts(renames):
            pattern, equals, replacement = part.partition('=')
            if not equals or not pattern:
                raise ConfigError(
                    f'`warm_start_map` must be written FROM=TO, as in ^vgg/=cnn/, got '
                    f'{part!r}'
                )
            _check('warm_start_map', pattern, replacement)
            pairs.append((pattern, replacement))
        rules = cls(tuple(_parts(include)), tuple(_parts(exclude)), tuple(pairs))
        for flag in ('include', 'exclude'):
            for pattern in getattr(rules, flag):
                _check(f'warm_start_{flag}', pattern)
        return rules

    def wants(self, name):
        """Tells whether a variable of the new network is to be taken over."""
        if self.include and not matches(self.include, name):
            return False
        return not matches(self.exclude, name)

    def renamed(self, name):
        """Returns what a variable of the source is called in the new network."""
        for pattern, replacement in self.renames:
            name = re.sub(pattern, replacement, name)
        return name

    def check_found(self, targets, sources):
        """Makes sure that each pattern is found in a name: one that is not is a slip.

        Args:
          targets: names of the new network's variables.
          sources: names of the source's variables.

        Raises:
          ConfigError: one is not.
        """
        for flag, patterns, names in (
            ('include', self.include, targets),
            ('exclude', self.exclude, targets),
            ('map', [pattern for pattern, _ in self.renames], sources),
        ):
            for pattern in patterns:
                if not any(re.search(pattern, name) for name in names):
                    where = 'the source' if flag == 'map' else 'the network'
                    raise ConfigError(
                        f'`warm_start_{flag}`: no variable of {where} has {pattern!r} '
                        f'in its name. There are: {listed(names)}'
                    )


def listed(names, count=12):
    """Words a list of names, the first few of them."""
    names = list(names)
    more = f', … ({len(names)} in all)' if len(names) > count else ''
    return (', '.join(names[:count]) or 'none') + more


def _parts(text):
    return [part for part in map(str.strip, text.split(',')) if part]


def _check(flag, pattern, replacement=''):
    try:
        # A group that the pattern does not have is found by the use of it only.
        re.compile(pattern).sub(replacement, '')
    except (re.error, IndexError) as error:
        raise ConfigError(
            f'`{flag}` must be regular expressions, got {pattern!r}'
            + (f' and {replacement!r}' if replacement else '')
            + f': {error}'
        ) from None
