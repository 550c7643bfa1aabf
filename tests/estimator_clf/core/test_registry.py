"""Registry: functions by name, without importing their files."""

import subprocess
import sys
import textwrap

import pytest

from estimator_clf.core.registry import Registry, register, suggest

FILES = {
    '__init__.py': '',
    'first.py': '''
        import registered_things.tools as tools
        tools.IMPORTED.append('first')

        @tools.register('one', 'uno', kind='number', size=(1, 2))
        def make_one(x, *, depth=(3, 4), rate=0.5, other=tools.IMPORTED, must):
            """The first. More about it.

            Not this."""
            return 'made one'

        def helper():
            pass
    ''',
    'second.py': """
        from registered_things.tools import IMPORTED, register
        IMPORTED.append('second')

        @register('two')
        def make_two():
            return 'made two'
    """,
    'invalid.py': 'import no_such_module_at_all\n',
    'tools.py': """
        from estimator_clf.core.registry import register
        IMPORTED = []
    """,
}


class UnknownThingError(ValueError):
    pass


@pytest.fixture
def things(tmp_path, monkeypatch):
    directory = tmp_path / 'registered_things'
    directory.mkdir()
    for name, text in FILES.items():
        (directory / name).write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Registry('registered_things', 'thing', UnknownThingError)
    for name in [n for n in sys.modules if n.startswith('registered_things')]:
        del sys.modules[name]


def test_names_have_summaries_without_an_import(things):
    assert things.names() == {
        'one': 'The first. More about it.',
        'two': '',
        'uno': 'The first. More about it.',
    }
    assert 'registered_things.first' not in sys.modules


def test_facts_and_options_are_literals(things):
    assert things.facts('uno') == {'kind': 'number', 'size': (1, 2)}
    assert things.facts('two') == {}
    assert things.options('one') == {'depth': (3, 4), 'rate': 0.5}


def test_returned_dicts_are_copies(things):
    things.facts('one')['kind'] = 'changed'
    things.options('one').clear()
    assert things.facts('one')['kind'] == 'number'
    assert things.options('one')


def test_get_imports_a_single_file(things):
    assert things.get('two')() == 'made two'
    from registered_things.tools import IMPORTED

    assert IMPORTED == ['second']
    assert things.get('uno') is things.get('one')


@pytest.mark.parametrize('method', ['get', 'facts', 'options'])
def test_misspelled_name_suggests_the_nearest(things, method):
    with pytest.raises(UnknownThingError) as caught:
        getattr(things, method)('twoo')
    assert str(caught.value) == (
        "`thing`: there is no 'twoo'; did you mean 'two'? There are: one, two, uno"
    )


def test_register_returns_the_function():
    def function():
        pass

    assert register('x', fact=1)(function) is function


def test_suggest():
    assert suggest('lniear', ['linear', 'mlp']) == "; did you mean 'linear'?"
    assert suggest('transformer', ['linear', 'mlp']) == '.'
    assert suggest(3, [30]) == "; did you mean '30'?"


def test_names_of_formats_and_networks_need_no_tensorflow():
    code = """
        import sys
        from input import FORMATS
        from model_fns import registry
        assert 'digits' in FORMATS.names() and 'cnn' in registry.names()
        assert not [m for m in ('tensorflow', 'sklearn') if m in sys.modules]
    """
    subprocess.run([sys.executable, '-c', textwrap.dedent(code)], check=True)
