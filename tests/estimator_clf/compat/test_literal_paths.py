"""Tests of checkpoints in directories whose names are patterns to TensorFlow."""

import os
import tempfile

from estimator_clf.compat import _literal_paths, estimator

import pytest
import tensorflow as tf

from tests.helpers.launching import run_program
from tests.helpers.small_run import line_input_fn, line_model_fn

v1 = tf.compat.v1

NAMES = ['run[1]', '[', 'a*b', 'what?', 'back\\slash', '{a,b}', 'all [x]*{c}?\\']


@pytest.mark.parametrize('name', NAMES)
def test_a_checkpoint_is_found_read_restored_and_removed(name, tmp_path):
    directory = tmp_path / name
    other = tmp_path / 'run1'  # A match of the pattern run[1].
    other.mkdir()
    with tf.Graph().as_default(), v1.Session() as session:
        variable = v1.get_variable('v', initializer=3.0)
        session.run(variable.initializer)
        saver = v1.train.Saver(max_to_keep=1)
        saver.save(session, str(other / 'model.ckpt'), 1)
        for step in (1, 2):
            path = saver.save(session, str(directory / 'model.ckpt'), step)
        session.run(variable.assign(5.0))
        saver.restore(session, path)
        assert session.run(variable) == 3
    assert path == str(directory / 'model.ckpt-2')
    assert tf.train.latest_checkpoint(directory) == path
    assert v1.train.checkpoint_exists(path)
    assert not v1.train.checkpoint_exists(str(directory / 'model.ckpt-9'))
    assert tf.train.load_variable(path, 'v') == 3
    assert tf.train.load_checkpoint(str(directory)).has_tensor('v')
    files = [n for n in os.listdir(directory) if n.startswith('model.ckpt-1')]
    assert not files, 'an old checkpoint is retained'


def test_a_bare_estimator_resumes(tmp_path):
    model_dir = str(tmp_path / '[a]')
    for steps in (2, 5):
        estimator.Estimator(line_model_fn, model_dir).train(
            line_input_fn(), max_steps=steps
        )
    classifier = estimator.Estimator(line_model_fn, model_dir)
    assert classifier.latest_checkpoint().endswith('[a]/model.ckpt-5')
    found = classifier.evaluate(line_input_fn(repeat=False))
    assert found['global_step'] == 5


def test_other_paths_are_not_changed(tmp_path):
    path = str(tmp_path / 'model.ckpt')
    assert _literal_paths.without_special(path) is path


def test_a_missing_checkpoint_is_an_error_of_tensorflow(tmp_path):
    with pytest.raises(tf.errors.NotFoundError):
        tf.train.load_checkpoint(str(tmp_path / '[a]' / 'model.ckpt-1'))


def test_a_directory_for_temporary_files_with_such_a_name(tmp_path, monkeypatch):
    (tmp_path / '[t]').mkdir()
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / '[t]'))
    _literal_paths._link_to.cache_clear()
    _literal_paths._own_directory.cache_clear()
    link = _literal_paths.without_special(str(tmp_path / '[a]' / 'x'))
    assert '[' not in link and os.path.basename(link) == 'x'
    assert os.readlink(os.path.dirname(link)) == str(tmp_path / '[a]')
    monkeypatch.setattr(os.path, 'isdir', lambda path: False)
    _literal_paths._link_to.cache_clear()
    _literal_paths._own_directory.cache_clear()
    with pytest.raises(OSError, match='set TMPDIR'):
        _literal_paths.without_special(str(tmp_path / '[a]' / 'x'))


def test_the_links_are_removed_at_the_end_of_the_process(tmp_path):
    program = (
        'from estimator_clf.compat._literal_paths import without_special as w\n'
        'import os\n'
        'link = w("/a[b]/c")\n'
        'if os.fork() == 0: raise SystemExit\n'
        'os.wait()\n'
        'print(os.path.dirname(link), os.path.islink(os.path.dirname(link)))'
    )
    text = run_program(program)
    link, there = text.split()
    assert there == 'True' and not os.path.lexists(os.path.dirname(link))
