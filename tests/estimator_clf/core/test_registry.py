"""Things found by name, without importing the files that they are in."""

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
    'broken.py': 'import no_such_module_at_all\n',
    'tools.py': """
        from estimator_clf.core.registry import register
        IMPORTED = []
    """,
}


class NoSuchThing(ValueError):
    pass


@pytest.fixture
def things(tmp_path, monkeypatch):
    directory = tmp_path / 'registered_things'
    directory.mkdir()
    for name, text in FILES.items():
        (directory / name).write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Registry('registered_things', 'thing', NoSuchThing)
    for name in [n for n in sys.modules if n.startswith('registered_things')]:
        del sys.modules[name]


def test_names_with_a_line_about_each_and_no_import(things):
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


def test_what_is_handed_out_is_not_the_registry_itself(things):
    things.facts('one')['kind'] = 'changed'
    things.options('one').clear()
    assert things.facts('one')['kind'] == 'number'
    assert things.options('one')


def test_get_imports_one_file_only(things):
    assert things.get('two')() == 'made two'
    from registered_things.tools import IMPORTED

    assert IMPORTED == ['second']
    assert things.get('uno') is things.get('one')


@pytest.mark.parametrize('ask', ['get', 'facts', 'options'])
def test_a_misspelt_name_suggests_the_near_one(things, ask):
    with pytest.raises(NoSuchThing) as caught:
        getattr(things, ask)('twoo')
    assert str(caught.value) == (
        "`thing`: there is no 'twoo'; did you mean 'two'? There are: one, two, uno"
    )


def test_register_changes_nothing():
    def function():
        pass

    assert register('x', fact=1)(function) is function


def test_suggest():
    assert suggest('lniear', ['linear', 'mlp']) == "; did you mean 'linear'?"
    assert suggest('transformer', ['linear', 'mlp']) == '.'
    assert suggest(3, [30]) == "; did you mean '30'?"


def test_our_own_names_cost_no_tensorflow():
    code = """
        import sys
        from input import FORMATS
        from model_fns import registry
        assert 'digits' in FORMATS.names() and 'cnn' in registry.names()
        assert not [m for m in ('tensorflow', 'sklearn') if m in sys.modules]
    """
    subprocess.run([sys.executable, '-c', textwrap.dedent(code)], check=True)
