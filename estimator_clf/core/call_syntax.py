"""Parser of the one syntax for structured settings: `name(arg, key=value)`.

    flip, crop(4), randaugment(magnitude=9)      calls: parse_calls
    conv1, "a,b", 'golden retriever'             a list: parse_list
    cat=1, "tench, Tinca tinca"=2.5              a mapping: parse_mapping

A value is a number, `true`, `false`, `none`, a tuple `(256, 128)`, a text in single or
double quotes (with backslash escapes of the quote and of the backslash), or bare text
without any of `, ( ) = ' "`. Spaces around items do not count.
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import NoReturn

from estimator_clf.core.errors import ConfigError

#: int, float, bool, None, str, or a tuple of these.
Value = int | float | bool | str | tuple | None

_BARE = re.compile(r"""[^,()='"]+""")
_NUMBER = re.compile(r'[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$')
_WORDS = {'true': True, 'false': False, 'none': None}


@dataclasses.dataclass(frozen=True)
class Call:
    """A parsed `name(arg, key=value)`; without parentheses both are empty.

    Attributes:
      name: what is called.
      args: positional values.
      kwargs: values by name.
    """

    name: str
    args: tuple = ()
    kwargs: Mapping[str, Value] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        parts = [write_value(value) for value in self.args]
        parts += [f'{key}={write_value(value)}' for key, value in self.kwargs.items()]
        return f'{quote(self.name)}({", ".join(parts)})' if parts else quote(self.name)


def parse_calls(text: str, argument: str) -> tuple[Call, ...]:
    """Parses a list of calls: `flip, crop(4), cutout(size=8)`.

    Args:
      text: what was given.
      argument: name of the argument that carried it, for messages.

    Raises:
      ConfigError: a syntax error, with its position.
    """
    parser = _Parser(text, argument)
    return tuple(parser.items(parser.call))


def parse_call(text: str, argument: str) -> Call:
    """Parses exactly one call: `mlp(hidden=(256, 128), dropout=0.5)`.

    Raises:
      ConfigError: a syntax error, nothing, or more than one call.
    """
    calls = parse_calls(text, argument)
    if len(calls) != 1:
        raise ConfigError(f'`{argument}` must be NAME or NAME(key=value), got {text!r}')
    return calls[0]


def parse_list(text: str, argument: str) -> tuple[str, ...]:
    """Parses a list of texts: `cat, "tench, Tinca tinca"`; numbers stay texts.

    Raises:
      ConfigError: a syntax error, with its position.
    """
    parser = _Parser(text, argument)
    return tuple(parser.items(parser.text))


def parse_mapping(text: str, argument: str) -> dict[str, str]:
    """Parses `key=value` pairs, both as texts: `cat=1, "big dog"=2.5`.

    A value may be empty: `^vgg/=`.

    Raises:
      ConfigError: a syntax error, with its position, or a key given twice.
    """
    parser = _Parser(text, argument)
    pairs = list(parser.items(parser.pair))
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ConfigError(f'`{argument}`: {twice!r} must be given once only')
    return found


def quote(text: str) -> str:
    """Returns a text as this syntax writes it: bare where that is unambiguous."""
    bare = _BARE.fullmatch(text) and text == text.strip()
    if bare:
        return text
    mark = "'" if '"' in text and "'" not in text else '"'
    # A backslash is written twice only where it would start an escape.
    escaped = re.sub(rf'\\(?=[\\{mark}]|$)', r'\\\\', text).replace(mark, f'\\{mark}')
    return f'{mark}{escaped}{mark}'


def write_value(value: Value) -> str:
    """Returns a value as this syntax writes it; parsing gives it back."""
    if isinstance(value, tuple):
        comma = ',' if len(value) == 1 else ''
        return f'({", ".join(map(write_value, value))}{comma})'
    if isinstance(value, str):
        looks_typed = value.lower() in _WORDS or _NUMBER.match(value)
        return f'"{value}"' if looks_typed else quote(value)
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return f'{value!r}'


class _Parser:
    """Recursive-descent parser over one text."""

    def __init__(self, text: str, argument: str):
        self._text = text
        self._argument = argument
        self._place = 0

    def items(self, parse_item):
        """Yields the items of a whole text; an empty text has none."""
        self._skip_space()
        while self._place < len(self._text):
            yield parse_item()
            self._skip_space()
            if self._place < len(self._text):
                self._expect(',')
                self._skip_space()

    def call(self):
        name = self.text()
        if not self._take('('):
            return Call(name)
        args, kwargs = [], {}
        while not self._take(')'):
            start = self._place
            value = self._value()
            if self._take('='):
                key = str(self._text[start : self._place - 1]).strip()
                if not key.isidentifier():
                    self._fail('a key must be a plain name', start)
                if key in kwargs:
                    self._fail(f'{key!r} must be given once only', start)
                kwargs[key] = self._value()
            elif kwargs:
                self._fail('values without a key come first', start)
            else:
                args.append(value)
            self._skip_space()
            if not self._at(')'):
                self._expect(',')
                self._skip_space()
        return Call(name, tuple(args), kwargs)

    def pair(self):
        start = self._place
        key = self.text()
        self._skip_space()
        if not self._take('='):
            self._fail('every item must be KEY=VALUE', start)
        self._skip_space()
        at_end = self._place == len(self._text) or self._at(',')
        return key, '' if at_end else self.text()

    def text(self):
        """A quoted or bare text."""
        self._skip_space()
        if self._at('"') or self._at("'"):
            return self._quoted()
        match = _BARE.match(self._text, self._place)
        if not match or not match[0].strip():
            self._fail('a name or a value must follow')
        self._place = match.end()
        return match[0].strip()

    def _value(self):
        self._skip_space()
        if self._take('('):
            values = []
            while not self._take(')'):
                values.append(self._value())
                self._skip_space()
                if not self._at(')'):
                    self._expect(',')
                    self._skip_space()
            return tuple(values)
        if self._at('"') or self._at("'"):
            return self._quoted()
        text = self.text()
        if text.lower() in _WORDS:
            return _WORDS[text.lower()]
        if _NUMBER.match(text):
            number = float(text)
            if not math.isfinite(number):
                self._fail(f'{text} is too large')
            return int(text) if re.fullmatch(r'[+-]?\d+', text) else number
        return text

    def _quoted(self):
        start, mark = self._place, self._text[self._place]
        self._place += 1
        characters = []
        while self._place < len(self._text):
            character = self._text[self._place]
            following = self._text[self._place + 1 : self._place + 2]
            if character == '\\' and following and following in f'\\{mark}':
                characters.append(following)
                self._place += 2
                continue
            self._place += 1
            if character == mark:
                return ''.join(characters)
            characters.append(character)
        self._fail(f'the quote {mark} is not closed', start)

    def _skip_space(self):
        while self._text[self._place : self._place + 1].isspace():
            self._place += 1

    def _at(self, character):
        return self._text.startswith(character, self._place)

    def _take(self, character):
        self._skip_space()
        found = self._at(character)
        self._place += found
        return found

    def _expect(self, character):
        if not self._take(character):
            self._fail(f'{character!r} must follow')

    def _fail(self, what: str, place: int | None = None) -> NoReturn:
        place = self._place if place is None else place
        before, after = self._text[:place], self._text[place:]
        raise ConfigError(
            f'`{self._argument}` is not valid: {what}, at the mark in '
            f'{before!r} >>> {after!r}; text with any of , ( ) = goes into quotes'
        )
