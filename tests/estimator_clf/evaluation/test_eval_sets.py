"""Which sets are evaluated, under which names."""

import json
import os

import pytest

from estimator_clf.config.config import Config
from estimator_clf.config.step_plan import make_plan
from estimator_clf.core.errors import ConfigError
from estimator_clf.evaluation.eval_sets import Wish, eval_sets, parse
from estimator_clf.loggers.jsonl import MetricsLog
from estimator_clf.training import factory, run_directory
from tests.helpers.images import class_directories
from tests.helpers.small_run import Recorder, run, source


@pytest.mark.parametrize(
    'text, wish',
    [
        ('test', Wish('test', 'test', '', '1epochs')),
        ('test:5epochs', Wish('test', 'test', '', '5epochs')),
        ('fit=train:100', Wish('fit', 'train', '', '100')),
        ('phone=@a/b:10%', Wish('phone', '', 'a/b', '10%')),
        ('phone=test@a/b', Wish('phone', 'test', 'a/b', '1epochs')),
    ],
)
def test_parse(text, wish):
    assert parse(text) == (wish,)
    assert parse(f'{text}, other={text.rpartition("=")[2]}')[0] == wish


@pytest.mark.parametrize(
    'text, words',
    [
        ('test:often', 'must be a number of steps'),
        ('=test', 'must be'),
        ('name=', 'must be'),
        ('train', 'a name of its own'),
        ('@directory', 'a name of its own'),
        ('a/b=test', 'a name of its own'),
        ('best=test', 'a name of its own'),
        ('test,test:5', 'given twice'),
    ],
)
def test_mistakes(text, words):
    with pytest.raises(ConfigError, match=f'`extra_eval_sets`.*{words}'):
        parse(text)


def _names(text=''):
    config = Config(batch_size=9, extra_eval_sets=text, eval_every='5', max_steps=50)
    data = source(train=60, validation_split=0.25)
    plan = make_plan(config, data)
    opened = []

    def open_directory(directory):
        opened.append(directory)
        return source(train=30, test=10)

    sets = eval_sets(config, data, plan, open_directory)
    return [(s.name, s.every) for s in sets], opened


def test_the_lines_of_the_training_are_no_evaluation():
    config = Config(batch_size=9, train_split='test', eval_split='train')
    data = source(train=60, test=30)
    with pytest.raises(ConfigError, match='`extra_eval_sets=on_train=train`'):
        eval_sets(config, data, make_plan(config, data))


def test_the_order_of_the_sets():
    assert _names() == ([('validation', 5.0), ('test', None)], [])
    assert _names('test:3,x=train:50%')[0] == [
        ('validation', 5.0),
        ('test', 3.0),
        ('x', 25.0),
    ]
    found, opened = _names('x=@some/where:0')
    assert found == [('validation', 5.0), ('x', 0), ('test', None)]
    assert opened == ['some/where']


def test_split_that_is_not_there_or_is_evaluated_already():
    with pytest.raises(ConfigError, match="no split 'tset'; it has: train"):
        _names('x=tset')
    with pytest.raises(ConfigError, match='evaluated already'):
        _names('validation:3')


@pytest.mark.parametrize('text', ['test@some/where', 'test=@there:0', 'test=train'])
def test_the_names_of_the_splits_are_those_of_the_data_itself(text):
    with pytest.raises(ConfigError, match="'test' is a split of small itself.*NAME="):
        _names(text)


def test_all_of_another_directory_counts(tmp_path):
    class_directories(tmp_path / 'data', {'a': 4, 'b': 4})
    class_directories(tmp_path / 'phone', {'a': 3, 'b': 2})
    config = Config(
        dataset='image_folder', data_dir=str(tmp_path / 'data'), examples_per_class=3
    )
    data = factory.open_source(config)
    assert data.num_examples == {'train': 6}
    phone = factory.open_directory(config, data, str(tmp_path / 'phone'))
    assert phone.num_examples == {'train': 5}


def _steps(directory, name):
    return [x['step'] for x in MetricsLog(str(directory)).read() if x['split'] == name]


def test_each_at_its_own_interval_and_after_a_kill_too(tmp_path):
    settings = {'eval_every': '5', 'extra_eval_sets': 'fit=train:7'}
    data = source(train=60, validation_split=0.25)
    with pytest.raises(Recorder.Killed):
        run(tmp_path, Recorder(kill_after=8), data, **settings)
    results = run(tmp_path, None, data, **settings)
    assert _steps(tmp_path, 'validation') == [5, 10, 14]
    assert _steps(tmp_path, 'fit') == [7, 14]
    assert _steps(tmp_path, 'test') == [14]
    assert set(results.metrics) == {'validation', 'fit', 'test'}
    assert list((tmp_path / 'fit').glob('events.out.tfevents.*'))
    # The set with the examples that were trained on is the one that was fitted.
    lines = MetricsLog(str(tmp_path)).read()
    by_name = {x['split']: x['loss'] for x in lines if x['step'] == 14}
    assert len({by_name[n] for n in ('validation', 'fit', 'test')}) == 3


def test_one_name_is_one_set(tmp_path):
    data = source(train=60, validation_split=0.25)
    run(tmp_path, None, data, extra_eval_sets='x=train:7', max_steps=7)
    with pytest.raises(ConfigError, match="'x' was train in .* so far, is test"):
        run(tmp_path, None, data, extra_eval_sets='x=test:7', max_steps=9)
    results = run(tmp_path, None, data, extra_eval_sets='y=test:9', max_steps=9)
    assert results.metrics['y'] == results.metrics['test']


def test_one_name_is_one_directory(tmp_path):
    class_directories(tmp_path / 'a', {'x': 1})
    class_directories(tmp_path / 'b', {'x': 1})
    (tmp_path / 'model.ckpt-1.index').touch()

    def check(old, new):
        before = Config(model_dir=str(tmp_path), extra_eval_sets=old).to_dict()
        (tmp_path / 'config.json').write_text(json.dumps({'settings': before}))
        config = Config(model_dir=str(tmp_path), extra_eval_sets=new)
        run_directory.check(config, None)

    here = os.path.relpath(tmp_path / 'a')
    for same in (f'p=@{here}', f'p=test@{tmp_path}/a/', f'p=@{tmp_path}/a:3', 'q=test'):
        check(f'p=@{tmp_path}/a', same)
    check(f'p=@{tmp_path}/moved', f'p=@{tmp_path}/a')
    for other in (f'p=@{tmp_path}/b', 'p=test'):
        with pytest.raises(ConfigError, match="'p' was @.*/a in .* so far, is "):
            check(f'p=@{tmp_path}/a', other)
