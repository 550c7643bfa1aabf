"""The best are kept, whatever happens in between."""

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


def _offer(keeper, values):
    for step, value in values.items():
        keeper.maybe_save(f'model.ckpt-{step}', step, {'accuracy': value})


def _steps(keeper):
    return [entry['step'] for entry in keeper.entries]


VALUES = {1: 0.3, 2: 0.7, 3: 0.5, 4: 0.9, 5: 0.1, 6: 0.7, 7: float('nan')}


def test_keeps_the_best_in_order(tmp_path):
    keeper = BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 3, _make)
    _offer(keeper, VALUES)
    # Of equals the earlier one is better.
    assert _steps(keeper) == [4, 2, 6]
    assert sorted(p.name for p in tmp_path.iterdir()) == ['2', '4', '6', STATE_FILE]
    assert keeper.best_path() == str(tmp_path / '4')


@pytest.mark.parametrize('cut', range(7))
def test_restart_forgets_nothing(tmp_path, cut):
    """Wherever the run was cut, and though it offers some once more."""
    first = BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 2, _make)
    _offer(first, dict(list(VALUES.items())[:cut]))
    second = BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 2, _make)
    _offer(second, dict(list(VALUES.items())[max(0, cut - 1) :]))
    assert _steps(second) == [4, 2]


def test_killed_while_it_makes(tmp_path):
    """The old best stays until the new one is whole and listed."""

    def killed(checkpoint, step, directory):
        _make(checkpoint, step, directory)
        raise KeyboardInterrupt

    _offer(BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 1, _make), {1: 0.5})
    keeper = BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 1, killed)
    with pytest.raises(KeyboardInterrupt):
        _offer(keeper, {2: 0.6})
    assert (tmp_path / '1').exists()
    again = BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 1, _make)
    assert _steps(again) == [1]
    assert not (tmp_path / '2').exists()  # The orphan.
    _offer(again, {2: 0.6})
    assert _steps(again) == [2]


def test_what_somebody_removed_is_not_the_best(tmp_path):
    _offer(
        BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 2, _make),
        {1: 0.5, 2: 0.6},
    )
    os.rmdir(tmp_path / '2')
    assert _steps(BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 2, _make)) == [
        1
    ]


def test_another_metric_replaces_what_it_knows_nothing_of(tmp_path):
    _offer(
        BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 2, _make),
        {1: 0.5, 2: 0.6},
    )
    for _ in range(2):
        keeper = BestCheckpoints(str(tmp_path), MetricGoal('loss'), 2, _make)
        assert _steps(keeper) == [1, 2] and (tmp_path / '2').exists()
    keeper.maybe_save('model.ckpt-3', 3, {'loss': 9.0})
    keeper.maybe_save('model.ckpt-4', 4, {'loss': 9.5})
    assert _steps(keeper) == [3, 4]
    keeper.maybe_save('model.ckpt-5', 5, {'loss': 9.7})
    assert _steps(keeper) == [3, 4]


@pytest.mark.parametrize('other', [{'split': 'phone'}, {'goal': MetricGoal('loss')}])
def test_another_metric_or_split_orders_by_what_was_found(tmp_path, other):
    usual = {'goal': MetricGoal('accuracy'), 'split': 'validation'}
    keeper = BestCheckpoints(str(tmp_path), count=3, make=_make, **usual)
    _offer(keeper, {1: 0.5, 2: 0.6, 3: 0.7})
    found = {1: 0.2, 2: 0.1, 3: 0.3}
    known = {s: {'accuracy': 1 - x, 'loss': x} for s, x in found.items()}
    other = {**usual, **other, 'known': known}
    keeper = BestCheckpoints(str(tmp_path), count=3, make=_make, **other)
    assert _steps(keeper) == [2, 1, 3]
    assert json.loads((tmp_path / STATE_FILE).read_text())['best'][0]['step'] == 2


def test_rewind(tmp_path):
    keeper = BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 3, _make)
    _offer(keeper, {1: 0.5, 2: 0.9, 3: 0.7})
    keeper.rewind(1)
    assert _steps(keeper) == [1]
    assert not (tmp_path / '2').exists() and not (tmp_path / '3').exists()
    _offer(keeper, {2: 0.6})
    again = BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 3, _make)
    assert [e['value'] for e in again.entries] == [0.6, 0.5]


def test_damaged_state_is_no_state(tmp_path):
    (tmp_path / STATE_FILE).write_text('{"best": [')
    keeper = BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 1, _make)
    _offer(keeper, {1: 0.5})
    assert json.loads((tmp_path / STATE_FILE).read_text())['best'][0]['step'] == 1


def test_records_only(tmp_path):
    """The last version is the best one."""
    keeper = BestCheckpoints(
        str(tmp_path), MetricGoal('accuracy'), 2, _make, records_only=True
    )
    _offer(keeper, VALUES)
    assert _steps(keeper) == [4, 2]
    _offer(keeper, {8: 0.8})
    assert _steps(keeper) == [4, 2]


def test_copied_checkpoint_outlives_its_original(tmp_path):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        weight = tf.compat.v1.get_variable('w', initializer=[1.0, 2.0])
        session.run(weight.initializer)
        saver = tf.compat.v1.train.Saver(max_to_keep=1)
        first = saver.save(session, str(tmp_path / 'model.ckpt'), global_step=1)
        keeper = BestCheckpoints(
            str(tmp_path / 'best'), MetricGoal('accuracy'), 1, copy_checkpoint
        )
        keeper.maybe_save(first, 1, {'accuracy': 0.5})
        session.run(weight.assign([3.0, 4.0]))
        saver.save(session, str(tmp_path / 'model.ckpt'), global_step=10)
    assert not os.path.exists(first + '.index')
    path = best_checkpoint(str(tmp_path))
    assert path.endswith('best/1/model.ckpt-1')
    np.testing.assert_array_equal(tf.train.load_variable(path, 'w'), [1.0, 2.0])
    assert best_checkpoint(str(tmp_path / 'other')) is None


def test_what_somebody_else_has_put_there_stays(tmp_path):
    check_directory(str(tmp_path / 'new'))
    (tmp_path / 'partial-17-4').mkdir()  # Of an export that was killed.
    (tmp_path / '.git').mkdir()
    check_directory(str(tmp_path))
    BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 1, _make)
    assert [p.name for p in tmp_path.iterdir()] == ['.git']
    (tmp_path / '1').mkdir()
    with pytest.raises(ConfigError, match="must not exist or be empty, .* holds '1'"):
        check_directory(str(tmp_path))
    (tmp_path / STATE_FILE).write_text('{}')
    check_directory(str(tmp_path))


def test_the_best_of_another_run_are_not_taken_for_ours(tmp_path):
    keeper = BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 1, _make, run='a')
    _offer(keeper, {2: 0.6})
    check_directory(str(tmp_path), 'a')
    for other in ('b', '', None):
        with pytest.raises(ConfigError, match='of another run.*another `export_dir`'):
            check_directory(str(tmp_path), other)


def test_of_what_was_missed_a_worse_one_takes_no_place(tmp_path):
    keeper = BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 2, _make)
    _offer(keeper, {1: 0.5})
    known = {s: {'accuracy': v} for s, v in {1: 0.5, 2: 0.9, 3: 0.7, 4: 0.95}.items()}
    assert not keeper.maybe_save('model.ckpt-3', 3, known[3], known)
    assert keeper.maybe_save('model.ckpt-4', 4, known[4], known)
    assert _steps(keeper) == [4, 1]


def test_killed_while_it_makes_the_first(tmp_path):
    def killed(checkpoint, step, directory):
        _make(checkpoint, step, directory)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _offer(
            BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 1, killed), {1: 0.5}
        )
    again = BestCheckpoints(str(tmp_path), MetricGoal('accuracy'), 1, _make)
    assert not (tmp_path / '1').exists()
    _offer(again, {1: 0.5})
    assert _steps(again) == [1]
