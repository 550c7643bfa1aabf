"""`metrics.jsonl`: flat lines, rewound at a restart, truncated lines skipped."""

import json
import math
import time

import numpy as np
import pytest

from estimator_clf.loggers.jsonl import MetricsLog, finite, read


@pytest.fixture
def log(tmp_path):
    return MetricsLog(str(tmp_path))


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'metrics.jsonl'


def test_lines_are_flat_and_in_order(log, path):
    before = time.time()
    log.write(np.int64(5), 'train', {'loss': np.float32(0.5), 'epoch': 1})
    log.write(5, 'validation', {'loss': 2})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert list(lines[0]) == ['step', 'split', 'time', 'loss', 'epoch']
    assert before - 1 <= lines[0].pop('time') <= time.time() + 1
    assert lines[0] == {'step': 5, 'split': 'train', 'loss': 0.5, 'epoch': 1.0}
    assert lines[1]['split'] == 'validation'
    assert log.read() == [dict(lines[0], time=log.read()[0]['time']), lines[1]]


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -np.float32('inf')])
def test_non_finite_value_becomes_null(log, path, value):
    log.write(1, 'train', {'loss': value, 'accuracy': 0.5})
    text = path.read_text()
    assert '"loss": null' in text and 'NaN' not in text and 'Infinity' not in text
    assert log.read()[0]['loss'] is None


def test_finite_replaces_non_finite_values():
    found = finite({'loss': math.nan, 'accuracy': np.float32(0.5), 'top': math.inf})
    assert found == {'loss': None, 'accuracy': 0.5, 'top': None}
    json.dumps(found, allow_nan=False)


def test_rewind_drops_later_steps_of_every_split(log):
    for step in (2, 4, 6):
        log.write(step, 'train', {'loss': step})
        log.write(step, 'validation', {'loss': step})
    log.rewind(4)
    assert [(x['step'], x['split']) for x in log.read()] == [
        (2, 'train'),
        (2, 'validation'),
        (4, 'train'),
        (4, 'validation'),
    ]


def test_rewind_without_a_file_creates_none(log, path):
    log.rewind(0)
    assert not path.exists()
    assert log.read() == []


def test_truncated_last_line_is_skipped_and_dropped(log, path):
    log.write(1, 'train', {'loss': 1})
    log.write(2, 'train', {'loss': 2})
    path.write_bytes(path.read_bytes()[:-10])
    assert [x['step'] for x in log.read()] == [1]
    log.rewind(2)
    log.write(3, 'train', {'loss': 3})
    assert [x['step'] for x in log.read()] == [1, 3]
    assert path.read_text().count('\n') == 2


@pytest.mark.parametrize('junk', [b'\0\0\0\n', b'\xff\xfe{\n', b'[]\n7\n{}\n', b'\n'])
def test_foreign_lines_are_skipped(log, path, junk):
    log.write(1, 'train', {})
    path.write_bytes(path.read_bytes() + junk)
    log.write(2, 'train', {})
    log.rewind(9)
    assert [x['step'] for x in read(path)] == [1, 2]
    assert path.read_bytes().count(b'\n') == 2
