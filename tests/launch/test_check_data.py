"""`python -m launch.check_data` as a user runs it."""

import json

from tests.helpers import images
from tests.helpers.launching import launch
from tests.helpers.record_examples import write_split


def test_says_what_is_wrong_and_writes_all_of_it(tmp_path):
    root, report = tmp_path / 'in', tmp_path / 'report.jsonl'
    for split in ('train', 'valid'):
        for number, name in enumerate(('ant', 'bee')):
            for k in range(4):
                pixels = images.image('RGB', 40, 40, 10 * k + number)
                data = images.encode(pixels, 'PNG')
                images.write(root / split / name / f'{k}.png', data)
    images.write(root / 'train' / 'ant' / 'cut\n.png', data[:-70])
    done = launch(
        'check_data',
        '--dataset=image_folder',
        f'--data_dir={root}',
        f'--report={report}',
        '--examples=3',
    )
    assert done.returncode == 1, done.stderr
    out = done.stdout
    assert 'error: The same image in two splits (8, leak)' in out
    assert '… and 5 more' in out and 'cut\ufffd.png' in out
    assert out.splitlines()[0].split() == ['class', 'label', 'train', 'validation']
    assert out.splitlines()[-1].startswith('17 examples: 9 errors, 0 warnings, 0 notes')
    assert f'grep \'"level": "error"\' {report}' in out
    assert done.stderr.splitlines()[-1] == '17/17 images'
    assert 'oneDNN' not in done.stderr and 'PNG' not in done.stderr
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert [x['kind'] for x in lines] == ['unreadable'] + ['leak'] * 8 + ['summary']
    assert lines[-1]['levels'] == {'error': 9, 'warning': 0, 'note': 0}
    assert lines[-1]['classes']['train'] == {'ant': 5, 'bee': 4}


def test_names_that_say_no_class(tmp_path):
    for number, name in enumerate(('cat.0.png', 'dog.0.png', 'cow.png')):
        data = images.encode(images.image('RGB', 40, 40, number), 'PNG')
        images.write(tmp_path / name, data)
    dataset = r'--dataset=image_folder(label_pattern="(cat|dog)\.")'
    done = launch('check_data', dataset, f'--data_dir={tmp_path}')
    assert done.returncode == 1, done.stderr
    assert 'no_class' in done.stdout and 'refused' in done.stdout
    assert f'{tmp_path}/cow.png' in done.stdout


def test_good_data():
    done = launch('check_data', '--dataset=digits')
    assert done.returncode == 0, done.stderr
    assert 'ready for training' in done.stdout.splitlines()[-1]


def test_a_shard_that_is_missing(tmp_path):
    write_split(tmp_path, 'train', 6, shards=3)
    (tmp_path / 'train-00001-of-00003').unlink()
    report = tmp_path / 'report.jsonl'
    done = launch(
        'check_data',
        '--dataset=tfrecord',
        f'--data_dir={tmp_path}',
        f'--report={report}',
    )
    assert done.returncode == 1, done.stderr
    refused, summary = map(json.loads, report.read_text().splitlines())
    assert refused['kind'] == 'refused' and summary['kind'] == 'summary'
    assert 'the shard train-00001-of-00003 is missing' in refused['detail']
