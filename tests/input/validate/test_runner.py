"""`check_data` for all formats."""

import json
import os

import numpy as np
import pytest

from estimator_clf.core.errors import DataError
from input.validate import KINDS, LEVELS, Finding, Report, check_data, lines_file
from tests.helpers import images as image_helpers
from tests.helpers import record_examples as records


def check(report=None, **args):
    """Returns (counts, list of (kind, base name of where, detail))."""
    report = report or Report(keep=1000)
    counts = check_data(args, report, workers=2)
    facts = [
        (f.kind, os.path.basename(f.where), f.detail)
        for kind in report.kinds()
        for f in report.first[kind]
    ]
    return counts, facts


def photo(seed):
    return image_helpers.encode(image_helpers.image('RGB', 40, 40, seed), 'PNG')


def directory(root, splits=('train', 'valid'), each=3):
    """Writes different photos, one for each seed."""
    seed = 0
    for split in splits:
        for name in ('ant', 'bee'):
            for k in range(each):
                seed += 1
                image_helpers.write(root / split / name / f'{k}.png', photo(seed))
    return str(root)


def test_valid_directory(tmp_path):
    done = []
    counts = check_data(
        {'name': 'image_folder', 'data_dir': directory(tmp_path)},
        report := Report(),
        progress=lambda *numbers: done.append(numbers),
    )
    assert counts == {
        'train': {'ant': 3, 'bee': 3},
        'validation': {'ant': 3, 'bee': 3},
    }
    assert not report.kinds() and set(report.levels().values()) == {0}
    assert done == [(n, 12) for n in range(1, 13)]


def test_directory_with_all_findings(tmp_path):
    root = directory(tmp_path)
    image_helpers.write(tmp_path / 'train/ant/0.jpg', b'')
    image_helpers.write(tmp_path / 'train/ant/cut.png', photo(50)[:-100])
    image_helpers.write(tmp_path / 'valid/ant/leak.png', photo(1))
    image_helpers.write(
        tmp_path / 'train/bee/again.bmp',
        image_helpers.encode(image_helpers.image('RGB', 40, 40, 2), 'BMP'),
    )
    os.symlink('/nonexistent', tmp_path / 'train/bee/lost.png')
    counts, facts = check(name='image_folder', data_dir=root)
    assert counts['train'] == {'ant': 5, 'bee': 5}
    train = os.path.join(root, 'train')
    assert [fact[:2] for fact in facts] == [
        ('empty_file', '0.jpg'),
        ('unreadable', 'cut.png'),
        ('unreadable', 'lost.png'),
        ('leak', '0.png'),
        ('two_labels', '1.png'),
    ]
    assert facts[2][2] == 'No such file or directory'
    assert facts[3][2] == f'the same bytes as {root}/valid/ant/leak.png'
    assert facts[4][2] == f"the same pixels as {train}/bee/again.bmp, 'bee'"


def test_duplicates_across_held_out_images_are_leaks(tmp_path):
    for name in ('ant', 'bee'):
        for k in range(12):
            image_helpers.write(tmp_path / name / f'{k}.png', photo(ord(name[0])))
    args = {'name': 'image_folder', 'data_dir': str(tmp_path)}
    _, facts = check(**args)
    assert [fact[0] for fact in facts] == ['duplicate'] * 2
    counts, facts = check(**args, validation_split=0.3)
    assert [f[0] for f in facts] == ['leak'] * 2 + ['duplicate'] * 4
    assert sum(counts['validation'].values()) + sum(counts['train'].values()) == 24


def test_refused_directory_is_checked(tmp_path):
    image_helpers.write(tmp_path / 'ant' / '1.png', photo(1))
    image_helpers.write(tmp_path / 'ant' / '2.png', photo(2)[:-50])
    counts, facts = check(name='image_folder', data_dir=str(tmp_path))
    assert counts == {'train': {'ant': 2}}
    assert [fact[:2] for fact in facts] == [
        ('refused', tmp_path.name),
        ('unreadable', '2.png'),
    ]
    assert 'at least two classes' in facts[0][2]


def test_records(tmp_path):
    records.write_split(tmp_path, 'train', 12)
    records.write_shard(
        tmp_path / 'test-00000-of-00001',
        [
            records.labelled(40),
            records.labelled(0),
            records.example(image__encoded=records.png(60), image__class__label=3),
            records.example(image__encoded=b'GIF89a', image__class__label=0),
            records.example(image__class__label=0),
            records.example(image__encoded=records.png(61), image__class__text=b'd'),
            b'no example at all',
        ],
    )
    counts, facts = check(name='tfrecord', data_dir=str(tmp_path))
    assert counts['train'] == {'c0': 4, 'c1': 4, 'c2': 4}
    name = 'test-00000-of-00001, record '
    assert [fact[:2] for fact in facts if KINDS[fact[0]].level == 'error'] == [
        ('unreadable', name + '3'),
        ('unreadable', name + '4'),
        ('unreadable', name + '6'),
        ('label_out_of_range', name + '2'),
        ('label_out_of_range', name + '5'),
        ('leak', 'train-00000-of-00002, record 0'),
    ]
    details = {fact[1]: fact[2] for fact in facts}
    assert details[name + '2'] == 'must be from 0 to 2, got 3'
    assert details[name + '5'] == "no class is called 'd'"
    assert "no feature 'image/encoded'" in details[name + '4']


@pytest.mark.parametrize('compression', ['', 'GZIP'])
def test_corrupt_records_are_reported_and_those_before_are_read(tmp_path, compression):
    records.write_split(tmp_path, 'train', 12, shards=1, compression=compression)
    records.write_split(tmp_path, 'test', 6, shards=1, start=20)
    path = tmp_path / 'train-00000-of-00001'
    os.truncate(path, path.stat().st_size - 60)
    counts, facts = check(name='tfrecord', data_dir=str(tmp_path))
    errors = [fact[:2] for fact in facts if KINDS[fact[0]].level == 'error']
    assert errors == [('refused', tmp_path.name), ('corrupt_file', path.name)]
    assert sum(counts['test'].values()) == 6
    if not compression:
        assert sum(counts['train'].values()) == 11


def test_flipped_bit_in_a_record(tmp_path):
    paths = records.write_split(tmp_path, 'train', 12, shards=2)
    records.flip_bit(paths[1], -20)
    counts, facts = check(name='tfrecord', data_dir=str(tmp_path))
    assert ('corrupt_file', os.path.basename(paths[1])) in [f[:2] for f in facts]
    assert any('breaks off at record 5 of 6' in fact[2] for fact in facts)
    assert sum(counts['train'].values()) == 11


def test_labels_from_one(tmp_path):
    records.write_split(tmp_path, 'train', 6, offset=1)
    (tmp_path / 'labels.txt').write_text('x\ny\nz\n')
    args = {'name': 'tfrecord', 'data_dir': str(tmp_path)}
    counts, facts = check(**args, label_offset=1)
    assert counts == {'train': {'x': 2, 'y': 2, 'z': 2}}
    _, facts = check(**args)
    assert [f[0] for f in facts if f[0] != 'tiny'].count('label_out_of_range') == 2


def test_held_out_records_equal_those_of_training(tmp_path):
    records.write_split(tmp_path, 'train', 40)
    args = {'name': 'tfrecord', 'data_dir': str(tmp_path), 'validation_split': 0.3}
    counts, _ = check(**args)
    from input import open_dataset

    numbers = {s: sum(n.values()) for s, n in counts.items()}
    assert numbers == open_dataset(**args).num_examples


def test_arrays(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (30, 8, 8, 1)).astype(np.uint8)
    labels = np.repeat([0, 1, 2], 10)
    images[3] = 9
    images[20] = images[0]
    path = tmp_path / 'all.npz'
    np.savez(path, x_train=images, y_train=labels, x_test=images[5:8], y_test=[0, 0, 1])
    counts, facts = check(name='arrays', data_dir=str(path))
    assert counts['train'] == {'0': 10, '1': 10, '2': 10}
    assert [fact[:2] for fact in facts] == [
        ('leak', '5'),
        ('leak', '6'),
        ('leak', '7'),
        ('two_labels', '0'),
        ('two_labels', '7'),
        ('missing_class', '2'),
        ('blank', '3'),
    ]


def test_digits_and_regression_data(tmp_path):
    counts, facts = check(name='digits')
    assert sum(counts['train'].values()) + sum(counts['test'].values()) == 1797
    assert not facts
    path = tmp_path / 'numbers.csv'
    path.write_text('x,y\n1,2\n3,4\n')
    assert check(name='csv', data_dir=str(path)) == ({}, [])


def test_invalid_arguments_raise(tmp_path):
    with pytest.raises(DataError, match='does not exist'):
        check(name='image_folder', data_dir=str(tmp_path / 'none'))
    with pytest.raises(DataError, match='label_pattern'):
        check(name='image_folder', data_dir=directory(tmp_path), label_pattern='(')
    with pytest.raises(DataError, match='no meaning'):
        check(name='image_folder', data_dir=str(tmp_path), prefix='x')
    with pytest.raises(DataError):
        check(name='image_foldr', data_dir=str(tmp_path))


def test_report_retains_a_few_and_writes_all(tmp_path):
    path = tmp_path / 'report.jsonl'
    with lines_file(path) as file:
        report = Report(file, keep=2)
        for n in range(5):
            report.add(Finding('tiny', f'a{n}\udcff', 'x', 'train', 'c'))
        report.add(Finding('leak', 'b', 'y', others=('c',)))
        assert not path.exists()
    assert report.kinds() == ['leak', 'tiny']
    assert len(report.first['tiny']) == 2 and report.counts['tiny'] == 5
    assert report.levels() == {'error': 1, 'warning': 5, 'note': 0}
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 6
    assert lines[4]['where'] == 'a4\udcff'
    assert lines[5] == {
        'kind': 'leak',
        'level': 'error',
        'where': 'b',
        'detail': 'y',
        'split': None,
        'label': None,
        'others': ['c'],
    }


def test_interrupted_report_leaves_no_file(tmp_path):
    with pytest.raises(KeyError), lines_file(tmp_path / 'r') as file:
        file.write('half')
        raise KeyError
    assert not os.listdir(tmp_path)
    with lines_file('') as file:
        assert file is None


def test_kinds_are_in_the_order_of_their_levels():
    levels = [LEVELS.index(kind.level) for kind in KINDS.values()]
    assert levels == sorted(levels)
