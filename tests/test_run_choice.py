"""Best checkpoints, best exports and early stopping, in a whole run."""

import json

import pytest
from small_run import Recorder, run, source

from estimator_clf.errors import ConfigError
from estimator_clf.metrics_log import MetricsLog


def _data():
    return source(train=60, validation_split=0.25)


def _evaluations(folder):
    lines = MetricsLog(str(folder)).read()
    return {x['step']: x['loss'] for x in lines if x['split'] == 'validation'}


def _best(folder):
    return json.loads((folder / 'best' / 'best.json').read_text())['best']


def _decide_by_loss(folder, observer=None, **settings):
    return run(
        folder,
        observer,
        _data(),
        best_metric='loss',
        keep_best=2,
        eval_every='2',
        **settings,
    )


def test_the_best_of_all_evaluations(tmp_path):
    _decide_by_loss(tmp_path / 'run')
    found = _evaluations(tmp_path / 'run')
    assert len(found) == 7
    wanted = sorted(found, key=found.get)[:2]
    assert [entry['step'] for entry in _best(tmp_path / 'run')] == wanted


@pytest.mark.parametrize(
    'kill',
    [
        pytest.param({'kill_after': 7}, marks=pytest.mark.slow),
        {'kill_in_evaluation': 8},
    ],
)
def test_killed_and_restarted(tmp_path, kill):
    """Also between the line about an evaluation and the keeping of its checkpoint."""
    _decide_by_loss(tmp_path / 'whole')
    with pytest.raises(Recorder.Killed):
        _decide_by_loss(tmp_path / 'run', Recorder(**kill))
    _decide_by_loss(tmp_path / 'run')
    assert _best(tmp_path / 'run') == _best(tmp_path / 'whole')


def test_metric_that_does_not_exist(tmp_path):
    with pytest.raises(ConfigError, match="'acuracy'; did you mean 'accuracy'"):
        run(tmp_path / 'run', data=_data(), best_metric='acuracy')
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
    'wish',
    [{'early_stopping': '2evals'}, {'export_best': 1}, {'export_weights': 'best'}],
)
def test_nothing_is_chosen_by_the_test_split(tmp_path, wish):
    flag = next(iter(wish))
    with pytest.raises(ConfigError, match=f'--{flag}.*--validation_split'):
        run(tmp_path / 'run', **wish)
    run(tmp_path / 'run')
    assert not (tmp_path / 'run' / 'best').exists()


def test_early_stopping_and_no_training_after_it(tmp_path):
    """Nothing is better by 10, so the first result stays the best."""
    settings = {'early_stopping': '2evals', 'min_delta': 10.0}
    results = _decide_by_loss(tmp_path / 'run', **settings)
    # The first result is the best; two more are waited for.
    assert results.step == 6
    assert set(results.metrics) == {'validation', 'test'}
    again = Recorder()
    assert _decide_by_loss(tmp_path / 'run', again, **settings).step == 6
    assert again.steps == [] and 'stopped early' in again.messages[0]
    # With more patience it goes on.
    settings['early_stopping'] = '4evals'
    assert _decide_by_loss(tmp_path / 'run', **settings).step == 10


def test_killed_while_waiting_it_waits_no_longer(tmp_path):
    settings = {'early_stopping': '2evals', 'min_delta': 10.0}
    with pytest.raises(Recorder.Killed):
        _decide_by_loss(tmp_path / 'run', Recorder(kill_after=5), **settings)
    assert _decide_by_loss(tmp_path / 'run', **settings).step == 6
