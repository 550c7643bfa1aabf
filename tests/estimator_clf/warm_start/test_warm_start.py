"""Warm start from each kind of source, value for value."""

import json
import os
import zipfile

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import h5py
import numpy as np
import pytest
import tensorflow as tf

from estimator_clf.config.config import make_config
from estimator_clf.config.warm_start_rules import WarmStartRules
from estimator_clf.core.errors import ConfigError
from estimator_clf.warm_start.assignment import make_assignment
from estimator_clf.warm_start.hook import WarmStartHook
from estimator_clf.warm_start.report import table_of
from estimator_clf.warm_start.sources import open_source
from tests.helpers import small_run
from tests.helpers.record_examples import flip_bit

v1 = tf.compat.v1

WEIGHTS = {
    'net/conv/kernel': np.arange(6, dtype=np.float32).reshape(2, 3),
    'net/conv/bias': np.float32([7, 8, 9]),
    'net/bn/moving_mean': np.float32([0.5, 0.25, 0.125]),
    'net/logits/kernel': np.ones([3, 4], np.float32),
}


def write(path, weights, **more):
    """Writes a checkpoint of variables of these names; returns its prefix."""
    with tf.Graph().as_default():
        values = {**weights, 'global_step': np.int64(70), **more}
        for name, value in values.items():
            v1.get_variable(name, initializer=value, use_resource=True)
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            return v1.train.Saver().save(session, str(path))


def network(classes=4, prefix='net'):
    """Builds a small network in the graph; no initial value is 0."""
    half = v1.constant_initializer(0.5)
    v1.get_variable(f'{prefix}/conv/kernel', (2, 3), initializer=half)
    v1.get_variable(f'{prefix}/conv/bias', (3,), initializer=half)
    v1.get_variable(f'{prefix}/bn/moving_mean', (3,), initializer=half, trainable=False)
    v1.get_variable(f'{prefix}/logits/kernel', (3, classes), initializer=half)


def states(assignment):
    return {row.name: row.state for row in assignment.rows}


def run_hook(hook, build=network, averages=False, directory=None):
    """Runs a hook in a training session; returns all variables by name."""
    with tf.Graph().as_default():
        step = v1.train.get_or_create_global_step()
        build()
        loss = tf.add_n([tf.reduce_sum(v**2) for v in v1.trainable_variables()])
        v1.train.MomentumOptimizer(0.1, 0.9).minimize(loss, step)
        if averages:
            tf.train.ExponentialMovingAverage(0.9).apply(v1.trainable_variables())
        with v1.train.MonitoredTrainingSession(
            checkpoint_dir=directory,
            hooks=[hook],
            save_summaries_steps=None,
            save_checkpoint_secs=None,
            save_checkpoint_steps=1 if directory else None,
        ) as session:
            variables = v1.global_variables()
            values = session.run(variables)
    return {v.name[:-2]: x for v, x in zip(variables, values, strict=True)}


def test_checkpoint(tmp_path):
    slots = {'net/conv/bias/Momentum': np.float32([1, 1, 1])}
    path = write(tmp_path / 'model.ckpt-70', WEIGHTS, **slots)
    hook = WarmStartHook(open_source(path))
    values = run_hook(hook)
    for name, value in WEIGHTS.items():
        np.testing.assert_array_equal(values[name], value)
    assert values['global_step'] == 0
    # Slots belong to the optimizer in both.
    np.testing.assert_array_equal(values['net/conv/bias/Momentum'], [0, 0, 0])
    assert set(states(hook.assignment).values()) == {'restored'}
    assert set(states(hook.assignment)) == set(WEIGHTS)


def test_directory_of_a_run_and_index_file(tmp_path):
    write(tmp_path / 'model.ckpt-1', {k: 0 * v for k, v in WEIGHTS.items()})
    path = write(tmp_path / 'model.ckpt-2', WEIGHTS)
    for name in (str(tmp_path), path + '.index', path):
        assert open_source(name).path == path


def test_shape_mismatch_is_listed_and_not_restored(tmp_path):
    path = write(tmp_path / 'c', {**WEIGHTS, 'net/old': np.float32([1])})
    hook = WarmStartHook(open_source(path))

    def build():
        network(classes=10)
        v1.get_variable('net/new', (2,), initializer=v1.ones_initializer())

    values = run_hook(hook, build)
    np.testing.assert_array_equal(values['net/logits/kernel'], np.full([3, 10], 0.5))
    np.testing.assert_array_equal(values['net/conv/bias'], [7, 8, 9])
    assert states(hook.assignment) == {
        'net/bn/moving_mean': 'restored',
        'net/conv/bias': 'restored',
        'net/conv/kernel': 'restored',
        'net/logits/kernel': 'shape mismatch',
        'net/new': 'fresh',
        'net/old': 'unused',
    }
    text = table_of(hook.assignment).splitlines()
    assert text[0].endswith('3 restored, 1 shape mismatch, 1 fresh, 1 unused')
    row = next(line for line in text if 'mismatch  ' in line)
    assert '3x10' in row and '[3, 4]' in row


def test_include_exclude_and_renames(tmp_path):
    path = write(tmp_path / 'c', WEIGHTS)
    source = open_source(path)
    shapes = {k: v.shape for k, v in WEIGHTS.items()}

    def restored(variables=shapes, **texts):
        return set(
            make_assignment(
                source, variables, WarmStartRules.parse(**texts)
            ).source_names
        )

    assert restored(include='conv') == {'net/conv/kernel', 'net/conv/bias'}
    assert restored(include='conv,bn', exclude='bias') == {
        'net/conv/kernel',
        'net/bn/moving_mean',
    }
    assert restored(exclude='^net/logits/') == set(WEIGHTS) - {'net/logits/kernel'}
    other = {'my/block/conv/kernel': (2, 3)}
    assert restored(other, renames='^net/=my/, "(conv)"=block/\\1') == set(other)
    for wrong, flag in (
        ({'include': 'cnov'}, 'include'),
        ({'exclude': 'cnov'}, 'exclude'),
        ({'renames': 'cnov=x'}, 'map'),
    ):
        with pytest.raises(ConfigError, match=f"_{flag}`: no variable .* 'cnov'"):
            restored(**wrong)
    with pytest.raises(ConfigError, match='renames both'):
        restored(renames='kernel|bias=x')
    with pytest.raises(ConfigError, match='must be KEY=VALUE'):
        WarmStartRules.parse(renames='abc')
    for wrong in ('"("', '"a)(b"'):
        with pytest.raises(ConfigError, match='regular expressions'):
            WarmStartRules.parse(include=wrong)
    assert WarmStartRules.parse(include='"(?i)CONV"').includes('net/conv')
    with pytest.raises(ConfigError, match='regular expressions'):
        WarmStartRules.parse(renames='a=\\1')


def test_no_match_is_an_error_that_lists_both_sides(tmp_path):
    source = open_source(write(tmp_path / 'c', WEIGHTS))
    with pytest.raises(ConfigError, match='no weights for this network') as error:
        run_hook(WarmStartHook(source), lambda: network(prefix='other'))
    assert 'other/conv/kernel' in str(error.value)
    assert 'net/conv/kernel' in str(error.value)
    with pytest.raises(
        ConfigError, match=r'another shape, such as net/conv/bias \[5\]'
    ):
        make_assignment(source, {'net/conv/bias': (5,)})


def test_averages_of_the_source_are_restored(tmp_path):
    averages = {
        f'{k}/ExponentialMovingAverage': v + 100
        for k, v in WEIGHTS.items()
        if 'conv' in k
    }
    source = open_source(write(tmp_path / 'c', WEIGHTS, **averages))
    hook = WarmStartHook(source)
    values = run_hook(hook)
    np.testing.assert_array_equal(values['net/conv/bias'], [107, 108, 109])
    np.testing.assert_array_equal(values['net/logits/kernel'], np.ones([3, 4]))
    assert set(states(hook.assignment).values()) == {'restored'}
    # As in an export: averages alone.
    source = open_source(write(tmp_path / 'd', averages))
    values = run_hook(WarmStartHook(source))
    np.testing.assert_array_equal(values['net/conv/bias'], [107, 108, 109])


def test_averages_of_the_network_get_the_same_values(tmp_path):
    source = open_source(write(tmp_path / 'c', WEIGHTS))
    values = run_hook(WarmStartHook(source), averages=True)
    name = 'net/conv/kernel/ExponentialMovingAverage'
    np.testing.assert_array_equal(values[name], WEIGHTS['net/conv/kernel'])


def test_only_at_step_0(tmp_path):
    source = open_source(write(tmp_path / 'source' / 'c', WEIGHTS))
    directory = str(tmp_path / 'run')

    class Step(v1.train.SessionRunHook):
        def begin(self):
            self.add = v1.train.get_global_step().assign_add(5)

        def after_create_session(self, session, coord):
            session.run(self.add)
            for v in v1.trainable_variables():
                v.load(np.full(v.shape, 3.0), session)

    with tf.Graph().as_default():
        v1.train.get_or_create_global_step()
        network()
        step = Step()
        step.begin()
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            step.after_create_session(session, None)
            v1.train.Saver().save(session, directory + '/model.ckpt', 5)
    called = []
    with tf.Graph().as_default():
        v1.train.get_or_create_global_step()
        network()
        hook = WarmStartHook(source, on_restored=called.append)
        with v1.train.MonitoredTrainingSession(
            checkpoint_dir=directory, hooks=[hook], save_checkpoint_secs=None
        ) as session:
            value = session.run(v1.trainable_variables()[1])
    np.testing.assert_array_equal(value, [3, 3, 3])
    assert not called


def test_saved_model_and_directory_of_versions(tmp_path):
    directory = tmp_path / 'export' / '7'
    with tf.Graph().as_default(), v1.Session() as session:
        network()
        session.run(v1.global_variables_initializer())
        for v in v1.global_variables():
            v.load(WEIGHTS[v.name[:-2]], session)
        tensor = tf.constant(1.0)
        v1.saved_model.simple_save(
            session, str(directory), {'x': tensor}, {'y': tensor}
        )
    for path in (directory, directory.parent):
        values = run_hook(WarmStartHook(open_source(str(path))))
        for name, value in WEIGHTS.items():
            np.testing.assert_array_equal(values[name], value)


def test_object_based_checkpoint(tmp_path):
    # In eager mode, like TensorFlow 2 programs.
    module = tf.Module()
    with tf.init_scope():
        module.a = tf.Variable(WEIGHTS['net/conv/bias'], name='net/conv/bias')
        module.b = tf.Variable(WEIGHTS['net/conv/kernel'], name='net/conv/kernel')
        path = tf.train.Checkpoint(model=module).save(str(tmp_path / 'c'))
    source = open_source(path)
    assert set(make_assignment(source, {'net/conv/bias': (3,)}).source_names)
    np.testing.assert_array_equal(source.read('net/conv/bias'), [7, 8, 9])


def old_keras_file(path, root=''):
    """Writes a file like Keras 2."""
    with h5py.File(path, 'w') as file:
        top = file.require_group(root) if root else file
        names = {'conv': ['kernel', 'bias'], 'logits': ['kernel']}
        # Keras splits long attributes.
        top.attrs['layer_names0'] = [b'conv']
        top.attrs['layer_names1'] = [b'logits']
        for layer, weights in names.items():
            group = top.create_group(layer)
            full = [f'net/{layer}/{w}:0' for w in weights]
            group.attrs['weight_names'] = [name.encode() for name in full]
            for name in full:
                group[name] = WEIGHTS[name[:-2]]


@pytest.mark.parametrize('root', ['', 'model_weights'])
def test_keras_file_with_names(tmp_path, root):
    path = str(tmp_path / 'w.h5')
    old_keras_file(path, root)
    if root:
        with h5py.File(path, 'a') as file:
            file['optimizer_weights/net/conv/bias'] = np.zeros(3)
    values = run_hook(WarmStartHook(open_source(path)))
    for name in ('net/conv/kernel', 'net/conv/bias', 'net/logits/kernel'):
        np.testing.assert_array_equal(values[name], WEIGHTS[name])
    np.testing.assert_array_equal(values['net/bn/moving_mean'], [0.5] * 3)


@pytest.mark.extended
def test_files_of_the_installed_keras(tmp_path):
    """Written by Keras 2 with TensorFlow 2.15, by Keras 3 with later ones."""
    import subprocess
    import sys

    script = """
import sys
import numpy as np, tensorflow as tf
k = tf.keras
inputs = k.Input((4, 4, 2))
x = k.layers.Conv2D(3, 3, name='block1_conv1')(inputs)
x = k.layers.BatchNormalization(name='bn_a')(x)
x = k.layers.Conv2D(5, 1, name='block1_conv2', use_bias=False)(x)
x = k.layers.Dense(3, name='predictions')(k.layers.Flatten()(x))
model = k.Model(inputs, x)
rng = np.random.default_rng(0)
model.set_weights([rng.random(w.shape) for w in model.get_weights()])
directory = sys.argv[1]
model.save(directory + '/a.h5')
model.save(directory + '/a.keras')
model.save_weights(directory + '/a.weights.h5')
np.savez(directory + '/expected.npz', *model.get_weights())
"""
    done = subprocess.run(
        [sys.executable, '-c', script, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    expected = list(np.load(tmp_path / 'expected.npz').values())
    names = ['block1_conv1/kernel', 'block1_conv1/bias']
    names += [f'bn_a/{n}' for n in ('gamma', 'beta', 'moving_mean', 'moving_variance')]
    names += ['block1_conv2/kernel', 'predictions/kernel', 'predictions/bias']
    of_old_keras = {
        'block1_conv1': 'conv2d',
        'bn_a': 'batch_normalization',
        'block1_conv2': 'conv2d_1',
        'predictions': 'dense',
    }
    for file in ('a.h5', 'a.keras', 'a.weights.h5'):
        source = open_source(str(tmp_path / file))
        assert len(source.shapes) == len(names)
        for name, value in zip(names, expected, strict=True):
            if file == 'a.weights.h5' and name not in source.shapes:
                # Keras 2 does not write the names of its layers there.
                layer, _, what = name.partition('/')
                name = f'{of_old_keras[layer]}/{what}'
            np.testing.assert_array_equal(source.read(name), value)


def test_invalid_sources_are_refused(tmp_path):
    def wrong(path, words):
        with pytest.raises(ConfigError, match=words):
            open_source(str(path))

    wrong(tmp_path, 'none of them in it')
    wrong(tmp_path / 'x', 'no such file')
    wrong(tmp_path / 'x.h5', 'no such file')
    wrong(f'{tmp_path}:best', 'no best')
    (tmp_path / 'y.h5').write_bytes(b'no such thing')
    wrong(tmp_path / 'y.h5', 'not a Keras weights file')
    with zipfile.ZipFile(tmp_path / 'y.keras', 'w') as archive:
        archive.writestr('model.weights.h5', bytes(1000))
        archive.writestr('config.json', '{}')
    flip_bit(tmp_path / 'y.keras', 500)
    wrong(tmp_path / 'y.keras', 'or corrupt: .*CRC')
    (tmp_path / 'z.index').write_bytes(b'')
    wrong(tmp_path / 'z', 'cannot be read')
    with pytest.raises(ConfigError, match='`warm_start_include` requires `warm_start`'):
        make_config(warm_start_include='a')
    # The initial weights of a run cannot be changed.
    assert make_config().differences(make_config(warm_start='a'))
    with pytest.raises(ConfigError, match='`warm_start_map` is not valid.*KEY=VALUE'):
        make_config(warm_start='a', warm_start_map='b')


@pytest.mark.extended
def test_run_starts_with_the_weights_of_another(tmp_path):
    first = tmp_path / 'first'
    small_run.run(first, network='cnn', eval_split='test')
    best = open_source(f'{first}:best').path
    assert best.startswith(os.path.join(first, 'best', ''))
    path = tf.train.latest_checkpoint(str(first))
    recorder = small_run.Recorder(kill_after=7)
    settings = {
        'network': 'cnn',
        'seed': 5,
        'warm_start': str(first),
        'warm_start_exclude': 'logits',
    }
    second = tmp_path / 'second'
    with pytest.raises(small_run.Recorder.Killed):
        small_run.run(second, recorder, **settings)
    (table,) = [text for text in recorder.messages if 'Warm start' in text]
    assert path in table and '(excluded)' in table
    there = tf.train.load_checkpoint(path)
    begin = tf.train.load_checkpoint(str(second / 'model.ckpt-0'))
    written = json.loads((second / 'warm_start.json').read_text())
    rows = {row['name']: row for row in written['variables']}
    assert written['counts']['restored'] > 3 and written['counts']['unused'] == 0
    for name, row in rows.items():
        same = np.array_equal(there.get_tensor(name), begin.get_tensor(name))
        if row['state'] == 'restored':
            assert same, name
    assert rows['cnn/logits/kernel']['state'] == 'fresh'
    kernel = 'cnn/logits/kernel'
    assert not np.array_equal(there.get_tensor(kernel), begin.get_tensor(kernel))
    # Resumes without the source.
    for file in first.glob('model.ckpt-*'):
        file.unlink()
    recorder = small_run.Recorder()
    small_run.run(second, recorder, **settings)
    assert recorder.steps[0] == 7 and not any('Warm' in t for t in recorder.messages)


def test_run_without_a_match_writes_no_config(tmp_path):
    source = write(tmp_path / 'c', WEIGHTS)
    with pytest.raises(ConfigError, match='no weights for this network'):
        small_run.run(tmp_path / 'run', warm_start=source)
    assert not (tmp_path / 'run' / 'config.json').exists()


def test_bare_estimator(tmp_path):
    source = open_source(write(tmp_path / 'c', {'w': np.float32(1.25)}))
    classifier = small_run.bare_estimator(tmp_path / 'run')
    hook = WarmStartHook(source)
    values = []

    class ReadWeight(v1.train.SessionRunHook):
        def begin(self):
            (self.w,) = v1.trainable_variables()

        def after_create_session(self, session, coord):
            values.append(float(session.run(self.w)))

    classifier.train(small_run.line_input_fn(), hooks=[hook, ReadWeight()], steps=1)
    assert values == [1.25]
