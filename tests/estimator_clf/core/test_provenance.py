"""Provenance of a result."""

import json
import subprocess
import sys

import estimator_clf
from estimator_clf.core import provenance


def test_collect_is_json_and_complete():
    facts = json.loads(json.dumps(provenance.collect()))
    assert facts['versions']['estimator_clf'] == estimator_clf.__version__
    assert facts['versions']['tensorflow'].startswith('2.')
    assert facts['versions']['tensorflow-estimator'].startswith('2.15')
    assert facts['versions']['numpy']
    assert facts['command'] == sys.argv
    assert facts['machine']['cpus'] >= 1


def test_missing_package_is_null(monkeypatch):
    monkeypatch.setattr(provenance, '_PACKAGES', ('no-such-package',))
    assert provenance.collect()['versions']['no-such-package'] is None


def git(directory, *arguments):
    name = ['-c', 'user.name=n', '-c', 'user.email=e@x']
    command = ['git', '-C', str(directory), *name, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_revision_of_the_sources(tmp_path, monkeypatch):
    source = tmp_path / 'estimator_clf' / 'core' / 'provenance.py'
    source.parent.mkdir(parents=True)
    source.write_text('first')
    monkeypatch.setattr(provenance, '__file__', str(source))
    assert provenance.collect()['git_revision'] is None  # No repository.
    git(tmp_path, 'init', '-q')
    git(tmp_path, 'add', '.')
    git(tmp_path, 'commit', '-qm', 'x')
    revision = git(tmp_path, 'rev-parse', 'HEAD').strip()
    assert provenance.collect()['git_revision'] == revision[:12]
    source.write_text('changed')
    assert provenance.collect()['git_revision'] == revision[:12] + '+'


def test_no_git(monkeypatch, tmp_path):
    (tmp_path / '.git').mkdir()
    monkeypatch.setattr(
        provenance, '__file__', str(tmp_path / 'estimator_clf' / 'core' / 'x.py')
    )
    monkeypatch.setenv('PATH', '')
    assert provenance.collect()['git_revision'] is None
