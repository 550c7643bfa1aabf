"""The lines that a log gets."""

import io
import re
import types

from estimator_clf.config.step_plan import StepPlan
from launch.terminal import TerminalCallback


def _line(callback, stream, step):
    metrics = {'loss': 1.0, 'accuracy': 0.5, 'examples_per_second': 9.0, 'epoch': 1.0}
    callback.on_train(step, metrics)
    return stream.getvalue().splitlines()[-1]


def test_a_rollback_to_before_where_the_process_began(monkeypatch):
    now = types.SimpleNamespace(monotonic=lambda: clock[0])
    clock = [1000.0]
    monkeypatch.setattr('launch.terminal.time', now)
    stream = io.StringIO()
    callback = TerminalCallback(stream)
    callback.on_start(StepPlan(40, 100, 10.0, 10.0, 10.0, 0.0, None))
    found = []
    for step in (50, 30, 40, 40, 60):
        clock[0] += 60
        found.append(re.search('ETA (.*)', _line(callback, stream, step))[1])
    assert found == ['5:00', 'unknown', '6:00', '12:00', '4:00']
