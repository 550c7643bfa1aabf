"""`keys.jsonl`: the examples of each step, once."""

import json
import tracemalloc

import tensorflow as tf

from estimator_clf.hooks.checkpoint import CheckpointHook
from estimator_clf.hooks.example_keys import ExampleKeysHook
from tests.helpers.small_run import bare_estimator, line_model_fn

v1 = tf.compat.v1


def model_fn(features, labels, mode):
    for part in tf.split(features['key'], 2):  # Like two replicas.
        v1.add_to_collection('the_keys', part)
    return line_model_fn({'x': features['x']}, labels, mode)


def input_fn(start=0):
    data = tf.data.Dataset.range(start * 4, 10**6).map(
        lambda n: (
            {'x': tf.cast(n % 3, tf.float32), 'key': 'ü/' + tf.strings.as_string(n)},
            tf.cast(n % 2, tf.float32),
        )
    )
    return data.batch(4)


def train(directory, steps, start=0):
    hooks = [
        ExampleKeysHook(str(directory), 'the_keys'),
        CheckpointHook(str(directory), [2]),
    ]
    bare_estimator(directory, model_fn).train(
        lambda: input_fn(start), hooks=hooks, max_steps=steps
    )


def expected(steps):
    return [
        {'step': n + 1, 'keys': [f'ü/{4 * n + i}' for i in range(4)]}
        for n in range(steps)
    ]


def lines(directory):
    return [json.loads(x) for x in (directory / 'keys.jsonl').read_text().splitlines()]


def test_lines_have_the_keys_of_all_replicas_in_order(tmp_path):
    train(tmp_path, 3)
    assert lines(tmp_path) == expected(3)


def test_restart_uses_little_memory(tmp_path):
    line = json.dumps({'step': 1, 'keys': ['x' * 100]}) + '\n'
    (tmp_path / 'keys.jsonl').write_text(line * 50_000 + '{"step": 1, "ke')
    hook = ExampleKeysHook(str(tmp_path), 'the_keys')
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        step = v1.train.create_global_step()
        session.run(step.assign(1, read_value=False))
        tracemalloc.start()
        hook.after_create_session(session, None)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 10**6
    assert (tmp_path / 'keys.jsonl').read_text() == line * 50_000


def test_after_a_kill_each_step_is_logged_once(tmp_path):
    train(tmp_path, 4)
    # As if killed two steps after its last checkpoint, during a write.
    more = ''.join(json.dumps({'step': s, 'keys': ['lost']}) + '\n' for s in (5, 6))
    with open(tmp_path / 'keys.jsonl', 'a') as file:
        file.write(more + '{"step": 7, "ke')
    train(tmp_path, 6, start=4)
    assert lines(tmp_path) == expected(6)


def test_key_that_is_not_utf8(tmp_path):
    def odd_input_fn():
        return input_fn().map(lambda f, y: (dict(f, key=tf.fill([4], b'\xff\xfe')), y))

    hook = ExampleKeysHook(str(tmp_path), 'the_keys')
    bare_estimator(tmp_path, model_fn).train(odd_input_fn, hooks=[hook], max_steps=1)
    assert lines(tmp_path)[0]['keys'] == ['\ufffd\ufffd'] * 4
