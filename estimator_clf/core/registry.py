"""Registry of functions by name, one per file, listed without importing the files.

`--help` and a misspelled name must not cost the import of TensorFlow, so the names are
read from the decorators in the source files; only the requested file is imported.
"""

import ast
import difflib
import functools
import importlib
import importlib.util
import pathlib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

_Function = TypeVar('_Function', bound=Callable)


class Registry:
    """Functions registered by the files of one package.

    Each file decorates its function with `@register('name', 'alias', fact=...)`;
    the arguments must be literals.
    """

    def __init__(self, package: str, argument: str, error: type[ValueError]) -> None:
        """Makes a registry.

        Args:
          package: dotted name of the package.
          argument: name of the argument that selects, for messages: 'network'.
          error: class of the error for an unknown name.
        """
        self.package = package
        self.argument = argument
        self._error = error

    @functools.cached_property
    def _entries(self) -> dict[str, tuple[str, str, str, dict, dict]]:
        """dict name -> (module, function, docstring's first line, facts, options)."""
        spec = importlib.util.find_spec(self.package)
        assert spec and spec.submodule_search_locations
        directory = pathlib.Path(spec.submodule_search_locations[0])
        entries = {}
        for path in sorted(directory.glob('*.py')):
            for node in ast.parse(path.read_text(encoding='utf-8')).body:
                if not isinstance(node, ast.FunctionDef):
                    continue
                for call in node.decorator_list:
                    if not (isinstance(call, ast.Call) and _name(call) == 'register'):
                        continue
                    summary = (ast.get_docstring(node) or '').partition('\n')[0]
                    facts = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
                    options = _keyword_only(node.args)
                    for arg in call.args:
                        name = ast.literal_eval(arg)
                        entries[name] = (path.stem, node.name, summary, facts, options)
        return entries

    def names(self) -> dict[str, str]:
        """Returns dict name -> first line of its docstring, sorted by name."""
        return {name: self._entries[name][2] for name in sorted(self._entries)}

    def facts(self, name: str) -> dict[str, Any]:
        """Returns the keyword arguments of the decorator of `name`."""
        return dict(self._entry(name)[3])

    def options(self, name: str) -> dict[str, Any]:
        """Returns dict keyword-only argument of the function -> its default."""
        return dict(self._entry(name)[4])

    def get(self, name: str) -> Callable:
        """Imports the one file that registers `name` and returns its function."""
        module, function, *_ = self._entry(name)
        return getattr(importlib.import_module(f'{self.package}.{module}'), function)

    def _entry(self, name):
        if name not in self._entries:
            near = suggest(name, self._entries)
            raise self._error(
                f'`{self.argument}`: there is no {name!r}{near} There are: '
                + ', '.join(sorted(self._entries))
            )
        return self._entries[name]


def register(*names: str, **facts: Any) -> Callable[[_Function], _Function]:
    """Registers a function, see `Registry`, without changing it."""
    del names, facts
    return lambda function: function


def suggest(word: object, known: Iterable[object]) -> str:
    """Returns `; did you mean 'x'?` for the nearest of `known`, or a full stop."""
    near = difflib.get_close_matches(str(word), [str(k) for k in known], 1, 0.5)
    return f'; did you mean {near[0]!r}?' if near else '.'


def _keyword_only(arguments):
    """Defaults of keyword-only arguments that are literals."""
    options = {}
    for arg, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        try:
            options[arg.arg] = ast.literal_eval(default)
        except ValueError:
            continue
    return options


def _name(call):
    return getattr(call.func, 'id', getattr(call.func, 'attr', None))
