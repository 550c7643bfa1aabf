"""Tests of training runs: resume, seeds, refusals, the files that a run writes."""

import json
import math
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import types

import pytest
import tensorflow as tf
from tensorboard.plugins.hparams.metadata import SESSION_END_INFO_TAG

from estimator_clf.config import config_json
from estimator_clf.config.config import make_config
from estimator_clf.config.step_plan import StepPlan, make_plan
from estimator_clf.core.errors import ConfigError, DataError
from estimator_clf.evaluation.evaluator import Evaluator
from estimator_clf.loggers import jsonl
from estimator_clf.training import tf_config
from estimator_clf.training.models import resolve_auto
from estimator_clf.training.run_directory import latest_step
from estimator_clf.training.trainer import train_and_evaluate
from input.formats.arrays import from_arrays
from tests.helpers.small_run import (
    NAMES,
    Recorder,
    events,
    make_images,
    scalars,
    source,
    timeless,
    weights,
)
from tests.helpers.small_run import run as train

v1 = tf.compat.v1
ROOT = pathlib.Path(__file__).resolve().parents[3]


def log(directory):
    return timeless(jsonl.read(pathlib.Path(directory) / 'metrics.jsonl'))


def keys(directory):
    return jsonl.read(pathlib.Path(directory) / 'keys.jsonl')


def final_weights(directory):
    return weights(tf.train.latest_checkpoint(str(directory)))


def assert_same_run(directory, other):
    assert log(directory) == log(other)
    assert keys(directory) == keys(other)
    assert final_weights(directory) == final_weights(other)


@pytest.fixture(scope='module')
def unbroken(tmp_path_factory):
    """Directory of a run of 14 steps that nothing stopped, its observer and results."""
    directory = tmp_path_factory.mktemp('unbroken')
    observer = Recorder()
    results = train(directory, observer, network='cnn', histograms=True)
    return directory, observer, results


@pytest.fixture(scope='module')
def plain(tmp_path_factory):
    """Directory and results of the same with a network that is built the fastest."""
    directory = tmp_path_factory.mktemp('plain')
    return directory, train(directory)


# -- What a run leaves -----------------------------------------------------------------


@pytest.mark.extended
def test_metrics_at_their_intervals(unbroken):
    directory, observer, results = unbroken
    lines = log(directory)
    # log_every=4, save_every=3, and 5 steps an epoch.
    train_steps = [x['step'] for x in lines if x['split'] == 'train']
    assert train_steps == [3, 4, 5, 6, 8, 9, 10, 12, 14]
    assert [x['step'] for x in lines if x['split'] == 'test'] == [5, 10, 14]
    assert observer.evaluations == [(5, 'test'), (10, 'test'), (14, 'test')]
    assert observer.steps == list(range(1, 15))
    for line in lines:
        assert list(line)[:2] == ['step', 'split']
        assert line['loss'] > 0 and 0 <= line['accuracy'] <= 1
    assert lines[-1]['split'] == 'test'
    assert results.step == 14 and results.export_path is None
    last = {k: v for k, v in lines[-1].items() if k not in ('step', 'split')}
    assert results.metrics == {'test': last}


def test_the_measured_metrics(unbroken):
    for line in jsonl.read(unbroken[0] / 'metrics.jsonl'):
        if line['split'] == 'train':
            assert line['examples_per_second'] > 0
            assert 0 <= line['input_wait'] <= 1.05
            assert line['learning_rate'] <= 0.01
            assert line['epoch'] == line['step'] / 5


def test_the_plan(unbroken):
    plan = unbroken[1].plan
    assert plan == StepPlan(
        start_step=0,
        total_steps=14,
        steps_per_epoch=5.0,
        log_every=4.0,
        save_every=3.0,
        eval_every=5.0,
        eval_split='test',
    )


@pytest.mark.parametrize(
    'examples, log_every', [(45, 5.0), (4500, 100.0), (4509, 83.5)]
)
def test_logging_divides_the_epoch(examples, log_every):
    class DataSource:
        name, num_examples = 'x', {'train': examples}

    plan = make_plan(make_config(batch_size=9), DataSource())
    assert plan.log_every == log_every
    assert plan.eval_split is None


def test_every_step_saw_nine_examples_and_an_epoch_all(unbroken):
    lines = keys(unbroken[0])
    assert [x['step'] for x in lines] == list(range(1, 15))
    epochs = [sum((x['keys'] for x in lines[n : n + 5]), []) for n in (0, 5)]
    for epoch in epochs:
        assert sorted(epoch) == sorted(f'small/train/{n}' for n in range(45))
    assert epochs[0] != epochs[1]


def test_settings_and_data_are_written_down(unbroken):
    directory = unbroken[0]
    facts = json.loads((directory / 'config.json').read_text())
    assert facts['settings']['batch_size'] == 9
    assert facts['versions']['tensorflow'].startswith('2.')
    assert 'git_revision' in facts and facts['command']
    info = json.loads((directory / 'dataset.json').read_text())
    assert info['class_names'] == list(NAMES)
    assert info['num_examples'] == {'train': 45, 'test': 20}
    assert not [n for n in os.listdir(directory) if 'partial' in n]


def test_checkpoints_are_the_latest_five(unbroken):
    state = tf.train.get_checkpoint_state(str(unbroken[0]))
    steps = [int(p.rpartition('-')[2]) for p in state.all_model_checkpoint_paths]
    assert steps == [6, 9, 10, 12, 14]


def test_events_of_training_and_evaluation_carry_the_same_tags(unbroken):
    directory = unbroken[0]
    written, evaluated = scalars(directory), scalars(directory / 'test')
    assert {t for t, _, _ in written} == {
        'loss',
        'accuracy',
        'learning_rate',
        'examples_per_second',
        'input_wait',
        'peak_memory_mb',
        'epoch',
    }
    assert {'loss', 'accuracy', 'macro_f1'} <= {tag for tag, _, _ in evaluated}
    # Each once, and what metrics.jsonl says.
    for found, split in ((written, 'train'), (evaluated, 'test')):
        assert len({(t, s) for t, s, _ in found}) == len(found)
        losses = {step: value for tag, step, value in found if tag == 'loss'}
        assert losses == pytest.approx(
            {x['step']: x['loss'] for x in log(directory) if x['split'] == split}
        )


def test_events_show_images_histograms_and_the_graph(unbroken):
    found = list(events(unbroken[0]))
    tags = {
        (value.WhichOneof('value'), value.tag)
        for event in found
        for value in event.summary.value
    }
    assert ('image', 'input') in tags
    assert {t for kind, t in tags if kind == 'histo'} >= {
        'weights/cnn/conv1/kernel',
        'weights/cnn/logits/bias',
    }
    (graph,) = (event for event in found if event.graph_def)
    names = {n.name for n in v1.GraphDef.FromString(graph.graph_def).node}
    assert 'cnn/conv1/kernel' in names


# -- Killed and started again ----------------------------------------------------------


def test_a_killed_run_resumes_exactly(unbroken, tmp_path):
    # With dropout, moving averages, Adam's moments, augmentation, a falling rate.
    with pytest.raises(Recorder.Killed):
        train(tmp_path, Recorder(kill_after=8), network='cnn')
    last = Recorder()
    results = train(tmp_path, last, network='cnn')
    assert last.plan.start_step == 6
    assert last.steps == list(range(7, 15))
    assert_same_run(tmp_path, unbroken[0])
    assert results == unbroken[2]


@pytest.mark.extended
def test_killed_again_and_again(plain, tmp_path):
    starts = []
    for step in (1, 7, 13):
        observer = Recorder(kill_after=step)
        with pytest.raises(Recorder.Killed):
            train(tmp_path, observer)
        starts.append(observer.plan.start_step)
    results = train(tmp_path)
    # Step 1 was killed after the checkpoint of step 0, step 7 after that of step 6.
    assert starts == [0, 0, 6]
    assert_same_run(tmp_path, plain[0])
    assert results == plain[1]


@pytest.mark.extended
@pytest.mark.parametrize(
    'step, when', [(10, 'before'), (10, 'after'), (14, 'before'), (14, 'after')]
)
def test_killed_around_an_evaluation(plain, tmp_path, monkeypatch, step, when):
    if when == 'after':
        observer = Recorder(kill_in_evaluation=step)
    else:
        observer = Recorder()
        evaluate = Evaluator.evaluate

        def fail(self, checkpoint, *more):
            if checkpoint.endswith(f'-{step}'):
                raise Recorder.Killed
            return evaluate(self, checkpoint, *more)

        monkeypatch.setattr(Evaluator, 'evaluate', fail)
    with pytest.raises(Recorder.Killed):
        train(tmp_path, observer)
    monkeypatch.undo()
    made_up = when == 'before'
    assert (log(tmp_path)[-1]['split'] == 'train') == made_up
    last = Recorder()
    train(tmp_path, last)
    wanted = [s for s in (10, 14) if s > step or (s == step and made_up)]
    assert last.evaluations == [(s, 'test') for s in wanted]
    assert_same_run(tmp_path, plain[0])
    tags = {value.tag for event in events(tmp_path) for value in event.summary.value}
    assert SESSION_END_INFO_TAG in tags  # Or TensorBoard's table has it running.


@pytest.mark.extended
def test_files_that_a_kill_left_partial_are_repaired(plain, tmp_path):
    with pytest.raises(Recorder.Killed):
        train(tmp_path, Recorder(kill_after=11))
    for name in ('metrics.jsonl', 'keys.jsonl'):
        with open(tmp_path / name, 'a') as file:
            file.write('{"step": 11, "spl')
    (tmp_path / 'model.ckpt-12.data-00000-of-00001').write_bytes(b'half')
    train(tmp_path)
    assert_same_run(tmp_path, plain[0])


@pytest.mark.extended
def test_a_finished_run_is_not_trained_again(plain, tmp_path):
    results = plain[1]
    shutil.copytree(plain[0], tmp_path, dirs_exist_ok=True)
    before = {n: (tmp_path / n).read_bytes() for n in ('metrics.jsonl', 'keys.jsonl')}
    os.utime(tmp_path / 'checkpoint', (1, 1))
    observer = Recorder()
    assert train(tmp_path, observer) == results
    assert observer.steps == [] and observer.evaluations == []
    assert any('has all 14 steps' in text for text in observer.messages)
    for name, content in before.items():
        assert (tmp_path / name).read_bytes() == content
    assert os.stat(tmp_path / 'checkpoint').st_mtime == 1
    # Further on, if asked.
    further = Recorder()
    assert train(tmp_path, further, max_steps=16).step == 16
    assert further.steps == [15, 16]
    assert [x['step'] for x in keys(tmp_path)] == list(range(1, 17))


def test_a_metric_that_was_not_finite_comes_back_as_such(plain, tmp_path):
    shutil.copytree(plain[0], tmp_path, dirs_exist_ok=True)
    path = tmp_path / 'metrics.jsonl'
    lines = jsonl.read(path)
    assert lines[-1]['split'] == 'test'
    lines[-1]['loss'] = None
    path.write_text(''.join(json.dumps(x) + '\n' for x in lines))
    assert math.isnan(train(tmp_path).metrics['test']['loss'])


# -- Seeds -----------------------------------------------------------------------------


def test_one_seed_is_one_run(plain, tmp_path):
    train(tmp_path)
    assert_same_run(plain[0], tmp_path)


@pytest.mark.extended
def test_another_seed_is_another_run(plain, tmp_path):
    train(tmp_path, seed=1)
    mine, other = log(plain[0]), log(tmp_path)
    assert [(x['step'], x['split']) for x in mine] == [
        (x['step'], x['split']) for x in other
    ]
    assert all(a['loss'] != b['loss'] for a, b in zip(mine, other, strict=True))
    assert keys(plain[0])[0] != keys(tmp_path)[0]


# -- Refusals --------------------------------------------------------------------------


def test_a_directory_of_other_settings_is_refused_with_the_list(plain):
    directory = plain[0]
    before = (directory / 'config.json').read_bytes(), sorted(os.listdir(directory))
    with pytest.raises(ConfigError) as caught:
        train(directory, batch_size=5, seed=3, max_steps=99)
    message = str(caught.value)
    assert 'belongs to a run of other settings' in message
    assert '`batch_size`: 9 there, 5 now' in message
    assert '`seed`: 0 there, 3 now' in message
    assert 'max_steps' not in message  # That may change.
    assert (
        (directory / 'config.json').read_bytes(),
        sorted(os.listdir(directory)),
    ) == before


@pytest.mark.parametrize('what', ['num_examples', 'class_names', 'image_shape'])
def test_changed_data_is_refused(plain, what):
    names = ('a', 'b', 'c') if what == 'class_names' else NAMES
    size = 10 if what == 'image_shape' else 8
    count = 46 if what == 'num_examples' else 45
    data = from_arrays(
        {'train': make_images(count, size=size), 'test': make_images(20, 1, size=size)},
        names,
        name='small',
    )
    with pytest.raises(ConfigError, match='the data has changed since') as caught:
        train(plain[0], data=data)
    expected = '45 examples before, 46 now' if what == 'num_examples' else f'{what} was'
    assert expected in str(caught.value)
    assert f'`warm_start={plain[0]}` and another `model_dir`' in str(caught.value)


def test_a_resumed_run_has_its_first_pixel_statistics(plain, tmp_path):
    shutil.copytree(plain[0], tmp_path, dirs_exist_ok=True)
    path = tmp_path / 'dataset.json'
    facts = json.loads(path.read_text())
    facts['mean'] = [m + 1 for m in facts['mean']]
    path.write_text(json.dumps(facts))
    train(tmp_path)
    assert json.loads(path.read_text()) == facts
    train(tmp_path / 'another', max_steps=1)
    begun = json.loads((tmp_path / 'another' / 'dataset.json').read_text())
    assert begun['mean'] == pytest.approx([m - 1 for m in facts['mean']])


def test_a_damaged_description_of_the_data(plain, tmp_path):
    shutil.copytree(plain[0], tmp_path, dirs_exist_ok=True)
    (tmp_path / 'dataset.json').write_text('{"name": ')
    with pytest.raises(ConfigError, match='dataset.json is corrupt'):
        train(tmp_path)


def test_checkpoints_of_another_program_are_refused(plain, tmp_path):
    shutil.copytree(plain[0], tmp_path, dirs_exist_ok=True)
    (tmp_path / config_json.FILE_NAME).unlink()
    with pytest.raises(ConfigError, match='holds checkpoints but no config.json'):
        train(tmp_path)


@pytest.mark.parametrize(
    'settings, error, message',
    [
        ({'train_split': 'tain'}, ConfigError, '`train_split=tain`: small has no such'),
        ({'eval_split': 'tset'}, ConfigError, '`eval_split=tset`: small has no such'),
        ({'eval_split': 'train'}, ConfigError, 'is the split that is trained on'),
        ({'batch_size': 46}, DataError, '`batch_size=46` must not be more than the 45'),
        ({'augment': 'warp'}, DataError, 'warp'),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    tmp_path, settings, error, message
):
    with pytest.raises(error, match=message):
        train(tmp_path / 'model', **settings)
    assert os.listdir(tmp_path) == []


def test_default_batch_size_is_all_of_few_examples(tmp_path):
    callback = Recorder()
    train(tmp_path, callback, batch_size=None, max_steps=2)
    assert any(
        '`batch_size` is 45 instead of 128: there are 45' in m
        for m in callback.messages
    )
    config = config_json.load(str(tmp_path))
    assert config.optimization.batch_size == 45


@pytest.mark.extended
def test_resumed_run_has_its_own_batch_size_by_default(tmp_path):
    train(tmp_path, max_steps=2)
    assert train(tmp_path, batch_size=None, max_steps=4).step == 4
    assert config_json.load(str(tmp_path)).optimization.batch_size == 9


@pytest.mark.parametrize(
    'examples,replicas,accumulate,expected',
    [
        (1000, 1, 1, 128),
        (128, 1, 1, 128),
        (45, 1, 1, 45),
        (1, 1, 1, 1),
        (1000, 3, 1, 126),
        (45, 2, 4, 40),
        (45, 1, 64, 64),  # Refused later.
    ],
)
def test_default_batch_size_has_equal_parts(examples, replicas, accumulate, expected):
    data = types.SimpleNamespace(num_examples={'train': examples})
    config = make_config(dataset='arrays', gradient_accumulation_steps=accumulate)
    assert resolve_auto(config, data, replicas).batch_size == expected


def test_a_model_dir_that_cannot_be_made(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(
        ConfigError, match='`model_dir=.*/file/below` cannot be created'
    ):
        train(tmp_path / 'file' / 'below')


@pytest.mark.parametrize(
    'value, message',
    [
        ('', 'TF_CONFIG must be a JSON object'),
        ('nonsense', 'TF_CONFIG must be a JSON object'),
        ('[]', 'TF_CONFIG must be a JSON object'),
        ('null', 'TF_CONFIG must be a JSON object'),
        ('{"task": 3}', 'TF_CONFIG must be a JSON object'),
        ('{"task": {"type": "chief", "index": 0}}', 'task type must be WORKER'),
        ('{"task": {"type": "worker", "index": 1}}', 'task index must be 0'),
        ('{"cluster": {"worker": ["a:1", "b:2"]}}', 'TF_CONFIG describes a cluster'),
        ('{"cluster": "x"}', 'TF_CONFIG describes a cluster'),
    ],
)
def test_a_cluster_is_refused(tmp_path, monkeypatch, value, message):
    monkeypatch.setenv('TF_CONFIG', value)
    with pytest.raises(ConfigError, match=message):
        train(tmp_path / 'model')
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    'value', ['{}', '{"cluster": {}, "task": {"type": "worker", "index": 0}}']
)
def test_a_machine_alone_is_no_cluster(monkeypatch, value):
    monkeypatch.setenv('TF_CONFIG', value)
    tf_config.refuse()


# -- Splits ----------------------------------------------------------------------------


@pytest.mark.extended
def test_validation_while_training_and_test_at_the_end(tmp_path):
    observer = Recorder()
    results = train(
        tmp_path, observer, data=source(60, validation_split=0.25), max_steps=7
    )
    while_training = [s for s, split in observer.evaluations if split == 'validation']
    assert while_training[-1] == 7 and len(while_training) > 1
    assert observer.evaluations[-1] == (7, 'test')
    assert list(results.metrics) == ['validation', 'test']
    assert {'validation', 'test'} <= set(os.listdir(tmp_path))


def test_nothing_to_evaluate_on(tmp_path):
    data = from_arrays({'train': make_images(20)}, NAMES, name='small')
    observer = Recorder()
    results = train(tmp_path, observer, data=data, max_steps=3)
    assert results.metrics == {} and observer.evaluations == []
    assert observer.plan.eval_split is None


# -- In processes of their own ---------------------------------------------------------

MIRRORED = """
    import sys
    from tests.helpers import small_run

    small_run.run(sys.argv[1], replicas=2, batch_size=10, max_steps=7, histograms=True)
"""


def python(*arguments, **options):
    environment = {k: v for k, v in os.environ.items() if k != 'TF_CONFIG'}
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def finish(process):
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    return output


@pytest.mark.extended
def test_two_replicas_see_the_examples_of_one(tmp_path):
    both = python('-c', textwrap.dedent(MIRRORED), tmp_path / 'two')
    train(tmp_path / 'one', batch_size=10, max_steps=7)
    finish(both)
    one, two = keys(tmp_path / 'one'), keys(tmp_path / 'two')
    assert [x['step'] for x in two] == list(range(1, 8))
    for mine, other in zip(one, two, strict=True):
        assert sorted(mine['keys']) == sorted(other['keys'])
    lines = log(tmp_path / 'two')
    assert [(x['step'], x['split']) for x in lines] == [
        (x['step'], x['split']) for x in log(tmp_path / 'one')
    ]
    tags = {t for t, _, _ in scalars(tmp_path / 'two')}
    assert {'loss', 'accuracy', 'learning_rate', 'input_wait'} <= tags
    # One device's checkpoint: evaluation and resume on one device can read it.
    assert set(final_weights(tmp_path / 'one')) == set(final_weights(tmp_path / 'two'))


SECOND_IS_NAN = """
    import sys
    from tests.helpers import small_run
    import tensorflow as tf

    make = small_run.small_model_fn

    def wrapped(*arguments):
        model_fn = make(*arguments)

        def changed(features, labels, mode):
            spec = model_fn(features, labels, mode)
            if mode != 'train':
                return spec
            step = tf.compat.v1.train.get_global_step()
            context = tf.distribute.get_replica_context()
            is_second = tf.equal(context.replica_id_in_sync_group, 1)
            bad = tf.logical_and(is_second, step >= 4)
            return spec._replace(loss=tf.where(bad, float('nan'), spec.loss))

        return changed

    small_run.small_model_fn = wrapped
    settings = {'replicas': 2, 'batch_size': 10, 'max_steps': 7, 'eval_every': '0'}
    small_run.run(sys.argv[1], max_rollbacks=1, **settings)
"""


@pytest.mark.extended
def test_a_loss_that_is_not_finite_on_the_second_replica_only(tmp_path):
    process = python('-c', textwrap.dedent(SECOND_IS_NAN), tmp_path)
    output, _ = process.communicate(timeout=240)
    assert re.search('RunError: the loss is NaN or infinite at step [45],', output)
    (note,) = json.loads((tmp_path / 'rollbacks.json').read_text())
    assert note['from_step'] == 3


DIGITS = {
    'dataset': 'digits',
    'network': 'mlp(hidden=16, dropout=0.3)',
    'schedule': 'cosine',
    'augment': 'crop(1)',
    'batch_size': 32,
    'max_steps': 800,
    'log_every': '70',
    'save_every': '100',
    'eval_every': '400',
    'record_keys': True,
}


def start(directory, settings):
    flags = [f'--{name}={value}' for name, value in settings.items()]
    return python('-m', 'launch.train', *flags, f'--model_dir={directory}')


def reference(directory, settings):
    """The same run in this process, which nothing stops; exports nothing."""
    config = make_config(model_dir=str(directory), export=False, **settings)
    train_and_evaluate(config)


def kill_when(process, condition):
    deadline = time.monotonic() + 240
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.extended
def test_sigkill_in_mid_run_and_the_same_command_again(tmp_path):
    directory = tmp_path / 'killed'
    # Before the other is started, which may not be watched too late.
    reference(tmp_path / 'unbroken', DIGITS)
    process = start(directory, DIGITS)
    # As soon as the checkpoint is there, perhaps half-way, in any case before the
    # evaluation that follows it has ended.
    kill_when(process, (directory / 'model.ckpt-400.index').exists)
    assert not [x for x in log(directory) if (x['step'], x['split']) == (400, 'test')]
    assert latest_step(str(directory)) in (300, 400)
    output = finish(start(directory, DIGITS))
    assert 'Resuming from step' in output
    assert_same_run(directory, tmp_path / 'unbroken')
    assert len(os.listdir(directory / 'export')) == 1


@pytest.mark.slow
def test_sigkill_at_random_moments(tmp_path):
    settings = {**DIGITS, 'max_steps': 4000}
    directory = tmp_path / 'killed'
    reference(tmp_path / 'unbroken', settings)
    rng, kills = random.Random(0), 0
    while kills < 10:
        process = start(directory, settings)
        before = latest_step(str(directory)) if directory.exists() else 0

        def started(before=before):
            path = directory / 'keys.jsonl'
            return path.exists() and f'"step": {before + 1},' in path.read_text()

        while process.poll() is None and not started():
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 1.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if process.returncode == 0:
            break
        kills += 1
    finish(start(directory, settings))
    assert kills >= 3
    assert_same_run(directory, tmp_path / 'unbroken')
    for name in os.listdir(directory / 'export'):
        tf.saved_model.load(str(directory / 'export' / name))
