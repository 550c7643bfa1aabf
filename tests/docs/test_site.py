"""The site's sources: the diagram of the layers, links, and names of code."""

import importlib.util
import pathlib
import re
import subprocess
import sys

import pytest

from tests.helpers.launching import ROOT

DOCS = pathlib.Path(ROOT, 'docs')
PAGES = [*DOCS.glob('**/*.md'), *pathlib.Path(ROOT).glob('*.md')]


def test_diagram_is_that_of_the_contract():
    pytest.importorskip('tomllib')  # From Python 3.11 on.
    spec = importlib.util.spec_from_file_location('_page', DOCS / 'architecture.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text(encoding='utf-8') == module.page(), (
        'run: python docs/architecture.py'
    )


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    text = page.read_text(encoding='utf-8')
    for target in re.findall(r'\]\((?!http|#)([^)#]+)[^)]*\)', text):
        assert (page.parent / target).exists(), target


def test_every_page_is_in_the_navigation():
    """Apart from those that are made from files in the root."""
    nav = pathlib.Path(ROOT, 'mkdocs.yml').read_text(encoding='utf-8')
    index = (DOCS / 'index.md').read_text(encoding='utf-8')
    for page in DOCS.glob('**/*.md'):
        name = str(page.relative_to(DOCS))
        assert f': {name}\n' in nav, name
        assert name == 'index.md' or f']({name})' in index, name


def test_modules_and_functions_that_the_design_names_exist():
    text = (DOCS / 'design.md').read_text(encoding='utf-8')
    paths = re.findall(r'`((?:input|model_fns|estimator_clf|launch)/[\w/.]+)`', text)
    assert len(paths) > 20
    for path in paths:
        assert pathlib.Path(ROOT, path).exists(), path
    sources = '\n'.join(
        path.read_text(encoding='utf-8')
        for package in ('input', 'model_fns', 'estimator_clf', 'launch')
        for path in pathlib.Path(ROOT, package).glob('**/*.py')
    )
    paths_of = text.partition('## The path of one')[2]
    names = re.findall(r'`(?!tf\.)(?:\w+\.)*(\w+)`', paths_of)
    for name in names:
        known = re.search(rf'\b(def|class) {name}\b|\b{name}: ', sources)
        assert known or name in ('json', 'jsonl', 'changeable'), name


@pytest.mark.extended
def test_mkdocs_builds_without_a_warning(tmp_path):
    pytest.importorskip('mkdocstrings', reason='needs the extra `docs`')
    command = [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--quiet']
    done = subprocess.run(
        [*command, f'--site-dir={tmp_path}'], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'examples' / 'checkpoints.py').exists()
