"""The lines that a log gets."""

import io
import re
import types

from estimator_clf.config.step_plan import StepPlan
from launch.output.terminal import TerminalCallback, metrics_tables


def _line(callback, stream, step):
    metrics = {'loss': 1.0, 'accuracy': 0.5, 'examples_per_second': 9.0, 'epoch': 1.0}
    callback.on_train(step, metrics)
    return stream.getvalue().splitlines()[-1]


def test_a_rollback_to_before_where_the_process_began(monkeypatch):
    now = types.SimpleNamespace(monotonic=lambda: clock[0])
    clock = [1000.0]
    monkeypatch.setattr('launch.output.terminal.time', now)
    stream = io.StringIO()
    callback = TerminalCallback(stream)
    callback.on_start(StepPlan(40, 100, 10.0, 10.0, 10.0, 0.0, None))
    found = []
    for step in (50, 30, 40, 40, 60):
        clock[0] += 60
        found.append(re.search('ETA (.*)', _line(callback, stream, step))[1])
    assert found == ['5:00', 'unknown', '6:00', '12:00', '4:00']


def test_lines_say_how_many_examples_they_are_about():
    stream = io.StringIO()
    callback = TerminalCallback(stream)
    callback.on_start(StepPlan(0, 100, 10.0, 10.0, 10.0, 0.0, 'test'))
    metrics = {'loss': 1.0, 'accuracy': 0.5, 'examples': 1234}
    callback.on_train(10, {**metrics, 'examples_per_second': 9.0, 'epoch': 1.0})
    callback.on_evaluate(10, 'test', metrics)
    trained, evaluated = stream.getvalue().splitlines()
    assert 'accuracy 0.5000, images/s 9, over 1,234 examples' in trained
    assert evaluated == ('step 10, test (1,234 examples): loss 1.0000, accuracy 0.5000')


def test_tables_of_metrics_have_the_number_of_examples():
    classes = {'cat': (7, 0.5, 1.0), 'dog': (3, 0.25, 0.0)}
    metrics = {'loss': 0.5, 'examples': 10}
    for name, (count, precision, recall) in classes.items():
        metrics[f'precision/{name}'] = precision
        metrics[f'recall/{name}'] = recall
        metrics[f'examples/{name}'] = count
    text = metrics_tables({'test': metrics})
    assert [line.split() for line in text.splitlines()] == [
        ['metric', 'test'],
        ['--------', '------'],
        ['examples', '10'],
        ['loss', '0.5000'],
        [],
        ['class', '(test)', 'examples', 'precision', 'recall'],
        ['------------', '--------', '---------', '------'],
        ['cat', '7', '0.5000', '1.0000'],
        ['dog', '3', '0.2500', '0.0000'],
    ]
    # Results of an older version have none.
    old = {name: x for name, x in metrics.items() if not name.startswith('examples')}
    assert 'examples' not in metrics_tables({'test': old})
