"""Best checkpoints and exports, across kills and restarts."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.checkpoints.best import (
    STATE_FILE,
    BestCheckpoints,
    best_checkpoint,
    check_directory,
    copy_checkpoint,
)
from estimator_clf.config.metric_goal import MetricGoal
from estimator_clf.core.errors import ConfigError


def _make(checkpoint, step, directory):
    path = os.path.join(directory, str(step))
    os.makedirs(path)
    return path


def _save(best, values):
    for step, value in values.items():
        best.maybe_save(f'model.ckpt-{step}', step, {'accuracy': value})


def _steps(best):
    return [entry['step'] for entry in best.entries]


VALUES = {1: 0.3, 2: 0.7, 3: 0.5, 4: 0.9, 5: 0.1, 6: 0.7, 7: float('nan')}


def test_retains_the_best_in_order(tmp_path):
    best = BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 3, _make)
    _save(best, VALUES)
    # Of equal values the earlier one is better.
    assert _steps(best) == [4, 2, 6]
    assert sorted(p.name for p in tmp_path.iterdir()) == ['2', '4', '6', STATE_FILE]
    assert best.best_path() == str(tmp_path / '4')


@pytest.mark.parametrize('kill', range(7))
def test_restart_forgets_nothing(tmp_path, kill):
    """Wherever the run was killed; some steps are saved twice."""
    first = BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 2, _make)
    _save(first, dict(list(VALUES.items())[:kill]))
    second = BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 2, _make)
    _save(second, dict(list(VALUES.items())[max(0, kill - 1) :]))
    assert _steps(second) == [4, 2]


def test_killed_during_a_save(tmp_path):
    """The old best stays until the new one is complete and listed."""

    def killed(checkpoint, step, directory):
        _make(checkpoint, step, directory)
        raise KeyboardInterrupt

    _save(BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 1, _make), {1: 0.5})
    best = BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 1, killed)
    with pytest.raises(KeyboardInterrupt):
        _save(best, {2: 0.6})
    assert (tmp_path / '1').exists()
    again = BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 1, _make)
    assert _steps(again) == [1]
    assert not (tmp_path / '2').exists()  # The orphan.
    _save(again, {2: 0.6})
    assert _steps(again) == [2]


def test_removed_artifact_is_not_the_best(tmp_path):
    _save(
        BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 2, _make),
        {1: 0.5, 2: 0.6},
    )
    os.rmdir(tmp_path / '2')
    assert _steps(BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 2, _make)) == [
        1
    ]


def test_another_metric_replaces_unranked_artifacts(tmp_path):
    _save(
        BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 2, _make),
        {1: 0.5, 2: 0.6},
    )
    for _ in range(2):
        best = BestCheckpoints(str(tmp_path), MetricGoal('loss'), 2, _make)
        assert _steps(best) == [1, 2] and (tmp_path / '2').exists()
    best.maybe_save('model.ckpt-3', 3, {'loss': 9.0})
    best.maybe_save('model.ckpt-4', 4, {'loss': 9.5})
    assert _steps(best) == [3, 4]
    best.maybe_save('model.ckpt-5', 5, {'loss': 9.7})
    assert _steps(best) == [3, 4]


@pytest.mark.parametrize('other', [{'split': 'phone'}, {'goal': MetricGoal('loss')}])
def test_another_metric_or_split_ranks_by_known_results(tmp_path, other):
    usual = {'goal': MetricGoal('accuracy'), 'split': 'validation'}
    best = BestCheckpoints(str(tmp_path), count=3, make=_make, **usual)
    _save(best, {1: 0.5, 2: 0.6, 3: 0.7})
    found = {1: 0.2, 2: 0.1, 3: 0.3}
    known = {s: {'accuracy': 1 - x, 'loss': x} for s, x in found.items()}
    other = {**usual, **other, 'known': known}
    best = BestCheckpoints(str(tmp_path), count=3, make=_make, **other)
    assert _steps(best) == [2, 1, 3]
    assert json.loads((tmp_path / STATE_FILE).read_text())['best'][0]['step'] == 2


def test_rewind(tmp_path):
    best = BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 3, _make)
    _save(best, {1: 0.5, 2: 0.9, 3: 0.7})
    best.rewind(1)
    assert _steps(best) == [1]
    assert not (tmp_path / '2').exists() and not (tmp_path / '3').exists()
    _save(best, {2: 0.6})
    again = BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 3, _make)
    assert [e['value'] for e in again.entries] == [0.6, 0.5]


def test_corrupt_state_is_ignored(tmp_path):
    (tmp_path / STATE_FILE).write_text('{"best": [')
    best = BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 1, _make)
    _save(best, {1: 0.5})
    assert json.loads((tmp_path / STATE_FILE).read_text())['best'][0]['step'] == 1


def test_records_only(tmp_path):
    """The last version is always the best."""
    best = BestCheckpoints(
        str(tmp_path), MetricGoal('accuracy'), 2, _make, records_only=True
    )
    _save(best, VALUES)
    assert _steps(best) == [4, 2]
    _save(best, {8: 0.8})
    assert _steps(best) == [4, 2]


def test_copied_checkpoint_outlives_its_original(tmp_path):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        weight = tf.compat.v1.get_variable('w', initializer=[1.0, 2.0])
        session.run(weight.initializer)
        saver = tf.compat.v1.train.Saver(max_to_keep=1)
        first = saver.save(session, str(tmp_path / 'model.ckpt'), global_step=1)
        best = BestCheckpoints(
            str(tmp_path / 'best'), MetricGoal('accuracy'), 1, copy_checkpoint
        )
        best.maybe_save(first, 1, {'accuracy': 0.5})
        session.run(weight.assign([3.0, 4.0]))
        saver.save(session, str(tmp_path / 'model.ckpt'), global_step=10)
    assert not os.path.exists(first + '.index')
    path = best_checkpoint(str(tmp_path))
    assert path.endswith('best/1/model.ckpt-1')
    np.testing.assert_array_equal(tf.train.load_variable(path, 'w'), [1.0, 2.0])
    assert best_checkpoint(str(tmp_path / 'other')) is None


def test_other_files_in_the_directory_are_not_removed(tmp_path):
    check_directory(str(tmp_path / 'new'))
    (tmp_path / 'partial-17-4').mkdir()  # Of a killed export.
    (tmp_path / '.git').mkdir()
    check_directory(str(tmp_path))
    BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 1, _make)
    assert [p.name for p in tmp_path.iterdir()] == ['.git']
    (tmp_path / '1').mkdir()
    with pytest.raises(
        ConfigError, match="must not exist or be empty, .* contains '1'"
    ):
        check_directory(str(tmp_path))
    (tmp_path / STATE_FILE).write_text('{}')
    check_directory(str(tmp_path))


def test_best_of_another_run_is_refused(tmp_path):
    best = BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 1, _make, run='a')
    _save(best, {2: 0.6})
    check_directory(str(tmp_path), 'a')
    for other in ('b', '', None):
        with pytest.raises(ConfigError, match='of another run.*another `export_dir`'):
            check_directory(str(tmp_path), other)


def test_checkpoint_worse_than_a_missed_one_is_not_saved(tmp_path):
    best = BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 2, _make)
    _save(best, {1: 0.5})
    known = {s: {'accuracy': v} for s, v in {1: 0.5, 2: 0.9, 3: 0.7, 4: 0.95}.items()}
    assert not best.maybe_save('model.ckpt-3', 3, known[3], known)
    assert best.maybe_save('model.ckpt-4', 4, known[4], known)
    assert _steps(best) == [4, 1]


def test_killed_during_the_first_save(tmp_path):
    def killed(checkpoint, step, directory):
        _make(checkpoint, step, directory)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _save(
            BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 1, killed), {1: 0.5}
        )
    again = BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 1, _make)
    assert not (tmp_path / '1').exists()
    _save(again, {1: 0.5})
    assert _steps(again) == [1]
