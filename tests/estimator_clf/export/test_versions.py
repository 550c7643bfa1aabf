"""Tests of export versions: numbering, atomic creation, clean-up."""

import os

from estimator_clf.compat import estimator  # noqa: F401

import pytest
import tensorflow as tf

from estimator_clf.core.atomic_files import PARTIAL
from estimator_clf.core.errors import ConfigError, RunError
from estimator_clf.export import list_versions, newest_version, versions
from estimator_clf.export.versions import exported, new_version


def make(export_dir):
    """Makes a version that looks complete; returns its path."""
    with new_version(str(export_dir)) as version:
        os.makedirs(version.partial)
        with open(os.path.join(version.partial, 'saved_model.pb'), 'wb'):
            pass
        assert version.path == ''
    return version.path


def test_versions_increase_within_one_second(tmp_path, monkeypatch):
    monkeypatch.setattr(versions.time, 'time', lambda: 1700000000.9)
    paths = [make(tmp_path) for _ in range(3)]
    names = [os.path.basename(path) for path in paths]
    assert names == ['1700000000', '1700000001', '1700000002']
    assert list_versions(str(tmp_path)) == paths
    # The clock may be set back.
    monkeypatch.setattr(versions.time, 'time', lambda: 5.0)
    assert make(tmp_path).endswith('/1700000003')


def test_concurrent_exports_have_different_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(versions.time, 'time', lambda: 1700000000.9)
    with new_version(str(tmp_path)) as version:
        os.makedirs(version.partial)
        other = tmp_path / '1700000000'  # Of another process.
        other.mkdir()
        (other / 'saved_model.pb').touch()
    assert version.path == str(tmp_path / '1700000001')
    assert os.path.isdir(version.path) and os.listdir(other) == ['saved_model.pb']


def test_number_taken_just_before_the_rename(tmp_path, monkeypatch):
    numbers = iter([5, 5, 6])
    monkeypatch.setattr(versions, '_next_version', lambda export_dir: next(numbers))
    with new_version(str(tmp_path)) as version:
        os.makedirs(version.partial)
        os.makedirs(tmp_path / '5' / 'variables')
    assert version.path == str(tmp_path / '6')


def test_versions_are_complete_and_in_numeric_order(tmp_path):
    whole = make(tmp_path / 'made')
    for name in ('9', '10'):
        os.symlink(whole, tmp_path / name)
    for name in ('11', 'partial-12', '²', 'notes'):
        (tmp_path / name).mkdir()
    (tmp_path / '13').write_text('a file')
    assert list_versions(str(tmp_path)) == [str(tmp_path / '9'), str(tmp_path / '10')]
    assert newest_version(str(tmp_path)) == str(tmp_path / '10')
    assert newest_version(whole) == whole
    assert list_versions(str(tmp_path / 'none')) == []
    with pytest.raises(ConfigError, match='must hold a SavedModel'):
        newest_version(str(tmp_path / 'none'))


def test_used_number_is_not_reused(tmp_path):
    (tmp_path / '99999999999').mkdir()
    assert make(tmp_path).endswith('/100000000000')


@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt])
def test_error_leaves_nothing(tmp_path, error):
    with pytest.raises(error), new_version(str(tmp_path)) as version:
        os.makedirs(version.partial)
        raise error
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    'error, words',
    [
        (
            tf.errors.OutOfRangeError(None, None, 'saved_model.pb; File too large'),
            '`export_dir=.*`: File too large; free some space',
        ),
        (
            ValueError('The passed save_path is not a valid checkpoint: model.ckpt-1'),
            'model.ckpt-1: the checkpoint no longer exists',
        ),
        (
            tf.errors.NotFoundError(None, None, 'Failed to find any matching files'),
            'model.ckpt-1: the checkpoint no longer exists',
        ),
    ],
)
def test_errors_are_translated(tmp_path, error, words):
    with pytest.raises(RunError, match=words):
        with exported(str(tmp_path), 'model.ckpt-1') as version:
            os.makedirs(version.partial)
            raise error
    assert os.listdir(tmp_path) == []


def test_abandoned_partial_exports_are_removed(tmp_path):
    (tmp_path / 'partial-notes').mkdir()  # Not created by an export.
    abandoned = tmp_path / f'{PARTIAL}6'
    (abandoned / 'export').mkdir(parents=True)
    with new_version(str(tmp_path)) as running:
        os.makedirs(running.partial)
        path = make(tmp_path)
        assert not abandoned.exists() and os.path.isdir(running.partial)
    assert (tmp_path / 'partial-notes').exists()
    assert list_numbers(tmp_path) == sorted([path, running.path])


def list_numbers(directory):
    """Returns the paths of the versions, complete or not."""
    return sorted(
        os.path.join(directory, n) for n in os.listdir(directory) if n.isdecimal()
    )
