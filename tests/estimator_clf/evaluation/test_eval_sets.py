"""Tests of the evaluation sets of a run: names, intervals and identity."""

import os

import pytest

from estimator_clf.config import config_json
from estimator_clf.config.config import make_config
from estimator_clf.config.step_plan import make_plan
from estimator_clf.core.errors import ConfigError
from estimator_clf.evaluation.eval_sets import make_eval_sets
from estimator_clf.loggers.jsonl import MetricsLog
from estimator_clf.training import run_directory
from estimator_clf.training.data import datasets
from tests.helpers.images import class_directories
from tests.helpers.small_run import Recorder, run, source


def _names(text=''):
    config = make_config(
        batch_size=9, extra_eval_sets=text, eval_every='5', max_steps=50
    )
    data = source(train=60, validation_split=0.25)
    plan = make_plan(config, data)
    opened = []

    def open_directory(directory):
        opened.append(directory)
        return source(train=30, test=10)

    sets = make_eval_sets(config, data, plan, open_directory)
    return [(s.name, s.every) for s in sets], opened


def test_reserved_name_of_the_evaluated_split_is_refused():
    config = make_config(batch_size=9, train_split='test', eval_split='train')
    data = source(train=60, test=30)
    with pytest.raises(ConfigError, match='`extra_eval_sets=on_train.train.`'):
        make_eval_sets(config, data, make_plan(config, data))


def test_sets_are_in_order_with_their_intervals():
    assert _names() == ([('validation', 5.0), ('test', None)], [])
    assert _names('test(every=3), x(train, every=50%)')[0] == [
        ('validation', 5.0),
        ('test', 3.0),
        ('x', 25.0),
    ]
    found, opened = _names('x(data_dir=some/where, every=0)')
    assert found == [('validation', 5.0), ('x', 0), ('test', None)]
    assert opened == [os.path.abspath('some/where')]


def test_missing_or_repeated_split_is_refused():
    with pytest.raises(ConfigError, match="no split 'tset'; it has: train"):
        _names('x(tset)')
    with pytest.raises(ConfigError, match='evaluated already'):
        _names('validation(every=3)')


@pytest.mark.parametrize(
    'text', ['test(test, data_dir=there)', 'test(data_dir=there)', 'test(train)']
)
def test_name_of_a_split_is_refused_for_other_examples(text):
    with pytest.raises(ConfigError, match="'test' is a split of small itself.*NAME"):
        _names(text)


def test_other_directory_is_not_subsampled(tmp_path):
    class_directories(tmp_path / 'data', {'a': 4, 'b': 4})
    class_directories(tmp_path / 'phone', {'a': 3, 'b': 2})
    config = make_config(
        dataset='image_folder', data_dir=str(tmp_path / 'data'), examples_per_class=3
    )
    data = datasets.open_source(config)
    assert data.num_examples == {'train': 6}
    phone = datasets.open_directory(config, data, str(tmp_path / 'phone'))
    assert phone.num_examples == {'train': 5}


def _steps(directory, name):
    return [x['step'] for x in MetricsLog(str(directory)).read() if x['split'] == name]


@pytest.mark.extended
def test_sets_are_evaluated_at_their_intervals_also_after_a_kill(tmp_path):
    settings = {'eval_every': '5', 'extra_eval_sets': 'fit(train, every=7)'}
    data = source(train=60, validation_split=0.25)
    with pytest.raises(Recorder.Killed):
        run(tmp_path, Recorder(kill_after=8), data, **settings)
    results = run(tmp_path, None, data, **settings)
    assert _steps(tmp_path, 'validation') == [5, 10, 14]
    assert _steps(tmp_path, 'fit') == [7, 14]
    assert _steps(tmp_path, 'test') == [14]
    assert set(results.metrics) == {'validation', 'fit', 'test'}
    assert list((tmp_path / 'fit').glob('events.out.tfevents.*'))
    # The three sets have different examples, so different losses.
    lines = MetricsLog(str(tmp_path)).read()
    by_name = {x['split']: x['loss'] for x in lines if x['step'] == 14}
    assert len({by_name[n] for n in ('validation', 'fit', 'test')}) == 3


@pytest.mark.extended
def test_name_of_another_split_is_refused_on_resume(tmp_path):
    data = source(train=60, validation_split=0.25)
    run(tmp_path, None, data, extra_eval_sets='x(train, every=7)', max_steps=7)
    with pytest.raises(ConfigError, match="'x' was train in .* so far, is test"):
        run(tmp_path, None, data, extra_eval_sets='x(test, every=7)', max_steps=9)
    results = run(tmp_path, None, data, extra_eval_sets='y(test, every=9)', max_steps=9)
    assert results.metrics['y'] == results.metrics['test']


def test_name_of_another_directory_is_refused_on_resume(tmp_path):
    class_directories(tmp_path / 'a', {'x': 1})
    class_directories(tmp_path / 'b', {'x': 1})
    (tmp_path / 'model.ckpt-1.index').touch()

    def check(old, new):
        model_dir = str(tmp_path)
        before = make_config(model_dir=model_dir, extra_eval_sets=old)
        (tmp_path / 'config.json').write_text(config_json.to_json(before))
        config = make_config(model_dir=model_dir, extra_eval_sets=new)
        run_directory.check(config, None)

    here, a = os.path.relpath(tmp_path / 'a'), f'{tmp_path}/a'
    for same in (
        f'p(data_dir={here})',
        f'p(test, data_dir={a}/)',
        f'p(data_dir={a}, every=3)',
        'q(test)',
    ):
        check(f'p(data_dir={a})', same)
    check(f'p(data_dir={tmp_path}/moved)', f'p(data_dir={a})')
    for other in (f'p(data_dir={tmp_path}/b)', 'p(test)'):
        with pytest.raises(ConfigError, match="'p' was .*/a in .* so far, is "):
            check(f'p(data_dir={a})', other)
