"""Best checkpoints, best exports and early stopping, in a whole run."""

import json

import pytest

from estimator_clf.config.config import make_config
from estimator_clf.core.errors import ConfigError
from estimator_clf.loggers.jsonl import MetricsLog
from estimator_clf.training.trainer import train_and_evaluate
from tests.helpers.small_run import Recorder, run, source, weights


def _data():
    return source(train=60, validation_split=0.25)


def _evaluations(directory):
    lines = MetricsLog(str(directory)).read()
    return {x['step']: x['loss'] for x in lines if x['split'] == 'validation'}


def _best(directory):
    return json.loads((directory / 'best' / 'best.json').read_text())['best']


def _decide_by_loss(directory, observer=None, **settings):
    return run(
        directory,
        observer,
        _data(),
        best_metric='loss',
        keep_best=2,
        eval_every='2',
        **settings,
    )


@pytest.mark.extended
def test_the_best_of_all_evaluations(tmp_path):
    _decide_by_loss(tmp_path / 'run')
    found = _evaluations(tmp_path / 'run')
    assert len(found) == 7
    wanted = sorted(found, key=found.get)[:2]
    assert [entry['step'] for entry in _best(tmp_path / 'run')] == wanted


@pytest.mark.extended
@pytest.mark.parametrize(
    'kill',
    [
        pytest.param({'kill_after': 7}, marks=pytest.mark.slow),
        {'kill_in_evaluation': 8},
        {'kill_in_evaluation': 14},
    ],
)
def test_killed_and_restarted(tmp_path, kill):
    """Also between the line about an evaluation and the keeping of its checkpoint."""
    _decide_by_loss(tmp_path / 'whole')
    with pytest.raises(Recorder.Killed):
        _decide_by_loss(tmp_path / 'run', Recorder(**kill))
    _decide_by_loss(tmp_path / 'run')
    assert _best(tmp_path / 'run') == _best(tmp_path / 'whole')


@pytest.mark.extended
def test_a_corrupt_best_checkpoint_is_saved_again(tmp_path):
    """What is kept shares its files with the checkpoint that it was made of."""
    settings = {'keep_best': 9, 'save_every': '2', 'eval_every': '2'}
    run(tmp_path, data=_data(), **settings)
    newest = tmp_path / 'model.ckpt-14.data-00000-of-00001'
    newest.write_bytes(newest.read_bytes()[:100])
    assert weights(tmp_path / 'best' / '12' / 'model.ckpt-12')
    run(tmp_path, data=_data(), **settings)
    found = weights(tmp_path / 'best' / '14' / 'model.ckpt-14')
    assert found == weights(tmp_path / 'model.ckpt-14')


@pytest.mark.extended
def test_the_exports_of_two_runs_do_not_mix(tmp_path):
    settings = {'export_best': 1, 'export_dir': str(tmp_path / 'models')}
    settings |= {'max_steps': 2, 'network': 'linear', 'batch_size': 9}
    settings |= {'export': False, 'check_export': False}

    def train(name):
        config = make_config(
            dataset='arrays', model_dir=str(tmp_path / name), **settings
        )
        return train_and_evaluate(config, source=_data())

    train('a')
    with pytest.raises(
        ConfigError, match='models-best contains the best exports of another run'
    ):
        train('b')
    assert not (tmp_path / 'b').exists()
    assert train('a').step == 2
    # An older version did not write down whose they are.
    path = tmp_path / 'models-best' / 'best.json'
    state = {k: v for k, v in json.loads(path.read_text()).items() if k != 'run'}
    path.write_text(json.dumps(state))
    with pytest.raises(
        ConfigError, match='models-best contains the best exports of another run'
    ):
        train('b')
    assert train('a').step == 2


def test_to_stop_early_takes_evaluations_and_patience(tmp_path):
    never = {'data': _data(), 'eval_every': '0'}
    with pytest.raises(ConfigError, match='`early_stopping` requires.*`eval_every=0`'):
        run(tmp_path / 'run', early_stopping='5evals', **never)
    for text in ('0epochs', '0%'):
        with pytest.raises(ConfigError, match='`early_stopping` must be more than 0'):
            run(tmp_path / 'run', data=_data(), early_stopping=text)
    run(tmp_path / 'run', early_stopping='0', **never)


def test_metric_that_does_not_exist(tmp_path):
    with pytest.raises(ConfigError, match="'acuracy'; did you mean 'accuracy'"):
        run(tmp_path / 'run', data=_data(), best_metric='acuracy')
    assert not (tmp_path / 'run').exists()


@pytest.mark.combinations
@pytest.mark.parametrize(
    'requested',
    [{'early_stopping': '2evals'}, {'export_best': 1}, {'export_weights': 'best'}],
)
def test_nothing_is_chosen_by_the_test_split(tmp_path, requested):
    flag = next(iter(requested))
    with pytest.raises(ConfigError, match=f'`{flag}` requires.*`validation_split=0.1`'):
        run(tmp_path / 'run', **requested)
    run(tmp_path / 'run')
    assert not (tmp_path / 'run' / 'best').exists()


@pytest.mark.extended
def test_early_stopping_and_no_training_after_it(tmp_path):
    """Nothing is better by 10, so the first result stays the best."""
    settings = {'early_stopping': '2evals', 'min_delta': 10.0}
    results = _decide_by_loss(tmp_path / 'run', **settings)
    # The first result is the best; two more are waited for.
    assert results.step == 6
    assert set(results.metrics) == {'validation', 'test'}
    again = Recorder()
    assert _decide_by_loss(tmp_path / 'run', again, **settings).step == 6
    assert again.steps == []
    assert any('stopped early' in text for text in again.messages)
    # With more patience it continues.
    settings['early_stopping'] = '4evals'
    assert _decide_by_loss(tmp_path / 'run', **settings).step == 10


@pytest.mark.extended
def test_killed_while_waiting_it_waits_no_longer(tmp_path):
    settings = {'early_stopping': '2evals', 'min_delta': 10.0}
    with pytest.raises(Recorder.Killed):
        _decide_by_loss(tmp_path / 'run', Recorder(kill_after=5), **settings)
    assert _decide_by_loss(tmp_path / 'run', **settings).step == 6


def test_another_metric_chooses_among_what_is_kept(tmp_path):
    _decide_by_loss(tmp_path)
    kept = sorted(entry['step'] for entry in _best(tmp_path))
    run(tmp_path, None, _data(), best_metric='accuracy', keep_best=2, eval_every='2')
    lines = MetricsLog(str(tmp_path)).read()
    known = {x['step']: x['accuracy'] for x in lines if x['split'] == 'validation'}
    wanted = sorted({*kept, 14}, key=lambda step: (-known[step], step))[:2]
    assert [e['step'] for e in _best(tmp_path)] == wanted
    assert [e['value'] for e in _best(tmp_path)] == [known[step] for step in wanted]
    with pytest.raises(ConfigError, match="'acuracy'; did you mean 'accuracy'"):
        run(tmp_path, None, _data(), best_metric='acuracy', eval_every='2')


@pytest.mark.extended
def test_what_a_rollback_has_given_up_is_not_kept(tmp_path):
    """The weights are lost at the first step already, but it takes two to see it."""
    settings = {
        'dataset': 'digits',
        'network': 'mlp(hidden=8)',
        'optimizer': 'sgd',
        'learning_rate': 1e37,
        'validation_split': 0.2,
        'save_every': '1',
        'eval_every': '1',
        'max_steps': 4,
        'keep_best': 9,
        'max_rollbacks': 5,
        'rollback_factor': 1e-19,
        'early_stopping': '9evals',
        'model_dir': str(tmp_path),
        'export': False,
    }
    config = make_config(**settings)
    train_and_evaluate(config)
    assert (tmp_path / 'rollbacks.json').exists()
    lines = MetricsLog(str(tmp_path)).read()
    found = {x['step']: x['accuracy'] for x in lines if x['split'] == 'validation'}
    assert sorted(found) == [1, 2, 3, 4]
    assert {e['step']: e['value'] for e in _best(tmp_path)} == found


def test_no_choice_by_what_is_trained_on(tmp_path):
    data = source(train=60, validation_split=0.25)
    results = run(tmp_path / 'a', None, data, train_split='validation', batch_size=5)
    assert set(results.metrics) == {'test'}
    with pytest.raises(ConfigError, match='`validation_split=0.1`'):
        run(tmp_path / 'b', train_split='test', early_stopping='2evals')


def test_best_weights_requested_after_the_training(tmp_path):
    settings = {'eval_every': '2', 'best_metric': 'loss', 'best_mode': 'max'}
    run(tmp_path, None, _data(), keep_best=0, **settings)
    found = _evaluations(tmp_path)
    assert found[14] < max(found.values())
    # What was better is gone; what is left is not the best.
    run(tmp_path, None, _data(), keep_best=1, **settings)
    assert not (tmp_path / 'best').exists()
    settings['best_mode'] = 'min'
    run(tmp_path, None, _data(), keep_best=1, **settings)
    assert (14 in [e['step'] for e in _best(tmp_path)]) == (
        found[14] == min(found.values())
    )
