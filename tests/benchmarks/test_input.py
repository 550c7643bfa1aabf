"""Tests of benchmarks/input.py and benchmarks/growth.py."""

import json

import pytest

from benchmarks import input as reading
from tests.helpers.images import encode, image, write
from tests.helpers.launching import benchmark


@pytest.fixture(name='photos')
def _photos(tmp_path):
    """A directory of photos in two classes, enough for two batches."""
    data = encode(image(height=30, width=40), 'JPEG')
    for number in range(70):
        write(tmp_path / 'photos' / 'train' / 'ab'[number % 2] / f'{number}.jpg', data)
    return tmp_path / 'photos'


@pytest.mark.slow
def test_reading_runs(photos, tmp_path):
    path = tmp_path / 'out.json'
    tiny = ['--repetitions=1', '--seconds=0.1', f'--data_dir={photos}']
    what = ['--workloads=crop,cached', '--programs=ours,decode']
    printed = benchmark('input', *tiny, *what, f'--json={path}')
    report = json.loads(path.read_text())
    programs = [(run['workload'], run['program']) for run in report['runs']]
    assert programs == [('crop', 'ours'), ('crop', 'decode'), ('cached', 'ours')]
    for run in report['runs']:
        assert run['images'] % 32 == 0 and run['seconds'] >= 0.1
    assert report['ratios']['crop']['decode']['n'] == 1
    assert 'crop     decode' in printed


@pytest.mark.slow
def test_growth_runs(photos, tmp_path):
    path = tmp_path / 'out.json'
    tiny = [f'--data_dir={photos}', '--times=1,3', '--seconds=0.1']
    benchmark('growth', *tiny, f'--work_dir={tmp_path}', f'--json={path}')
    runs = json.loads(path.read_text())['runs']
    assert [run['images'] for run in runs] == [70, 70, 210, 210]
    assert {run['format'] for run in runs} == {'image_folder', 'tfrecord'}


def test_core_milliseconds_are_medians():
    runs = [
        {'workload': 'crop', 'program': 'ours', 'cpu_seconds': 2.0, 'images': count}
        for count in (10, 30, 50)
    ]
    runs.append({'workload': 'crop', 'program': 'torch_2', 'images': 9})
    spent = reading.core_milliseconds(runs)
    assert spent == {'crop': {'ours': pytest.approx(2000 / 30)}}
