"""Layouts of image directories."""

import os

import numpy as np
import pytest

from input import DataError, open_dataset
from input.formats.image_folder import files_below, image_folder
from tests.helpers.images import (
    class_directories,
    encode,
    numbered_png,
    pixels,
    refuse_to_list,
    write,
)
from tests.helpers.read_dataset import evaluate, keys
from tests.helpers.real_data import real_data


def _labels(source, split='train'):
    """Returns dict path -> class name."""
    return {key: source.class_names[label] for key, _, label in source.encoded(split)}


def test_split_directories(tmp_path):
    train = class_directories(tmp_path / 'train', {'dogs': 3, 'cats': 2})
    valid = class_directories(tmp_path / 'valid', {'dogs': 1, 'cats': 1})
    test = class_directories(tmp_path / 'test', {'cats': 1})
    source = image_folder(str(tmp_path))
    assert source.class_names == ('cats', 'dogs')
    assert source.num_examples == {'train': 5, 'validation': 2, 'test': 1}
    assert sorted(_labels(source)) == sorted(train)
    assert sorted(_labels(source, 'validation')) == sorted(valid)
    assert list(_labels(source, 'test').items()) == [(test[0], 'cats')]
    for path, name in _labels(source).items():
        assert os.path.basename(os.path.dirname(path)) == name
    assert source.name == f'image_folder:{tmp_path.name}'


def test_classes_only(tmp_path):
    class_directories(tmp_path, {'test': 1, 'b': 2, 'a/deep/er': 2, 'a': 1})
    source = image_folder(str(tmp_path))
    # Without a directory `train`, one called `test` is a class like the others.
    assert source.class_names == ('a', 'b', 'test')
    assert source.num_examples == {'train': 6}
    assert source.image_shape == (8, 8, 3)
    ((_, labels, images),) = evaluate(source, 'train', 6)
    order = np.argsort(images[:, 0, 0, 0])
    assert np.array(labels)[order].tolist() == [2, 1, 1, 0, 0, 0]


def test_order_does_not_depend_on_the_file_system(tmp_path):
    class_directories(tmp_path, {'b': 3, 'a': 3})
    paths = list(_labels(image_folder(str(tmp_path))))
    assert paths == sorted(paths)


def test_extensions_and_hidden_files(tmp_path):
    data = numbered_png(1)
    for name in ('1.JPG', '2.Jpeg', '3.pNg', '4.gif', '5.BMP'):
        write(tmp_path / 'a' / name, data)
        write(tmp_path / 'b' / name, data)
    for name in ('.6.png', '._7.jpg', 'Thumbs.db', 'notes.txt', 'png', '.git/8.png'):
        write(tmp_path / 'a' / name, data)
    write(tmp_path / '.cache' / '9.png', data)
    source = image_folder(str(tmp_path))
    assert source.class_names == ('a', 'b')
    assert source.num_examples == {'train': 10}


def test_directory_named_like_an_image_is_read(tmp_path):
    class_directories(tmp_path, {'a.png': 2, 'b.jpg': 2})
    assert image_folder(str(tmp_path)).class_names == ('a.png', 'b.jpg')


def test_links_are_followed(tmp_path):
    class_directories(tmp_path / 'real', {'x': 2})
    class_directories(tmp_path / 'data', {'b': 2})
    os.symlink(tmp_path / 'real' / 'x', tmp_path / 'data' / 'a')
    os.symlink(tmp_path / 'data' / 'b' / '000.png', tmp_path / 'data' / 'b' / '9.png')
    source = image_folder(str(tmp_path / 'data'))
    assert source.class_names == ('a', 'b')
    assert source.num_examples == {'train': 5}


def test_circular_links_end(tmp_path):
    class_directories(tmp_path, {'a': 2, 'b': 2})
    os.symlink(tmp_path, tmp_path / 'a' / 'up')
    os.symlink(tmp_path / 'b', tmp_path / 'b' / 'self')
    assert image_folder(str(tmp_path)).num_examples == {'train': 4}


def test_mutual_links_end(tmp_path):
    class_directories(tmp_path / 'data', {'a': 2, 'b': 3})
    class_directories(tmp_path / 'apart', {'c': 4})
    os.symlink(tmp_path / 'data' / 'b', tmp_path / 'data' / 'a' / 'other')
    os.symlink(tmp_path / 'data' / 'a', tmp_path / 'data' / 'b' / 'other')
    os.symlink(tmp_path / 'apart', tmp_path / 'data' / 'a' / 'apart')
    os.symlink(tmp_path / 'data', tmp_path / 'apart' / 'c' / 'up')
    found = image_folder(str(tmp_path / 'data')).num_examples
    assert found == {'train': (2 + 3 + 4) + (3 + 2 + 4)}


def test_unusual_class_names(tmp_path):
    names = ['grün 猫', ' leading', 'a,b;c', '100%', "it's"]
    class_directories(tmp_path, {name: 1 for name in names})
    source = image_folder(str(tmp_path))
    assert source.class_names == tuple(sorted(names))
    assert len(keys(evaluate(source, 'train', 5))) == 5


@pytest.mark.parametrize('name', [b'caf\xe9', b'two\nlines'])
def test_unprintable_class_names_are_refused(tmp_path, name):
    class_directories(tmp_path, {'a': 1})
    directory = os.path.join(os.fsencode(tmp_path), name)
    try:
        os.mkdir(directory)
    except OSError:
        pytest.skip('this file system takes UTF-8 names only')
    with open(os.path.join(directory, b'1.png'), 'wb') as file:
        file.write(numbered_png(1))
    with pytest.raises(
        DataError, match='must be printable UTF-8.* rename its directory'
    ):
        image_folder(str(tmp_path))


def test_label_pattern_of_kaggle_names(tmp_path):
    for n in range(3):
        write(tmp_path / 'train' / f'cat.{n}.jpg', numbered_png(n))
        write(tmp_path / 'train' / f'dog.{n}.jpg', numbered_png(n))
        write(tmp_path / 'test1' / f'{n}.jpg', numbered_png(n))
    source = image_folder(str(tmp_path), label_pattern=r'(cat|dog)\.')
    assert source.class_names == ('cat', 'dog')
    assert source.num_examples == {'train': 6}  # The test images have no class.
    for path, name in _labels(source).items():
        assert os.path.basename(path).startswith(name)


def test_test_split_without_classes_is_skipped(tmp_path):
    class_directories(tmp_path / 'train', {'a': 2, 'b': 2})
    write(tmp_path / 'test' / '1.png', numbered_png(1))
    assert image_folder(str(tmp_path)).num_examples == {'train': 4}


def test_size_and_channels(tmp_path):
    class_directories(tmp_path, {'a': 100})
    write(tmp_path / 'b' / '1.png', encode(pixels(9, 5), 'PNG'))
    # The sample includes the last file.
    assert image_folder(str(tmp_path), image_size='8x9').image_shape == (8, 9, 3)
    for n in range(4):
        write(tmp_path / 'b' / f'{n}.png', encode(pixels(9, 5), 'PNG'))
    assert image_folder(str(tmp_path)).image_shape == (64, 64, 3)
    assert image_folder(str(tmp_path), channels=1).image_shape == (64, 64, 1)


def test_further_files_do_not_move_held_out_files(tmp_path):
    class_directories(tmp_path, {'a': 30, 'b': 30})

    def held():
        source = image_folder(str(tmp_path), validation_split=0.25)
        paths = set(_labels(source, 'validation'))
        assert not paths & set(_labels(source))
        assert source.num_examples['train'] + len(paths) == len(
            [f for _, _, names in os.walk(tmp_path) for f in names]
        )
        for split in ('train', 'validation'):
            for path, name in _labels(source, split).items():
                assert os.path.basename(os.path.dirname(path)) == name
        return paths

    before = held()
    assert 5 <= len(before) <= 28
    class_directories(tmp_path, {'a0': 20})  # Shifts the indices of all files of b.
    assert {p for p in held() if '/a0/' not in p} == before


def test_held_out_files_do_not_depend_on_the_root(tmp_path):
    found = []
    for place in ('here', 'there/deeper'):
        class_directories(tmp_path / place, {'a': 20, 'b': 20})
        source = image_folder(str(tmp_path / place) + '/', validation_split=0.3)
        root = tmp_path / place
        found.append([os.path.relpath(p, root) for p in _labels(source, 'validation')])
    assert found[0] == found[1]


def _no_such(tmp_path):
    return tmp_path / 'none'


def _file(tmp_path):
    return write(tmp_path / 'x' / 'file.png', b'')


def _empty(tmp_path):
    return tmp_path


def _one_class(tmp_path):
    class_directories(tmp_path, {'cats': 2})
    return tmp_path


def _no_class(tmp_path):
    class_directories(tmp_path, {'cats': 2})
    write(tmp_path / 'loose.png', b'')
    return tmp_path


def _two_tests(tmp_path):
    for name in ('train', 'test', 'testing'):
        class_directories(tmp_path / name, {'a': 1, 'b': 1})
    return tmp_path


def _other_names(tmp_path):
    for name in ('training_set', 'test_set'):
        class_directories(tmp_path / name, {'a': 1, 'b': 1})
    return tmp_path


def _no_train(tmp_path):
    for name in ('valid', 'test'):
        class_directories(tmp_path / name, {'a': 1, 'b': 1})
    return tmp_path


def _other_class(tmp_path):
    class_directories(tmp_path / 'train', {'a': 1, 'b': 1})
    class_directories(tmp_path / 'val', {'c': 1})
    return tmp_path


@pytest.mark.parametrize(
    'make,match',
    [
        (_no_such, '`data_dir` must be a directory, but .*none does not exist'),
        (_file, '`data_dir` must be a directory, but .*file.png is a file'),
        (_empty, r'contains no images \(.jpg, .*Expected DIR/<class>/<image>'),
        (_one_class, "at least two classes; .* has only 'cats'"),
        (_no_class, 'loose.png is not in a class directory.*`label_pattern`'),
        (_two_tests, 'test and .*testing are both the test split; retain one'),
        (_other_names, 'test_set and training_set, which look like splits.*`data_dir`'),
        (_no_train, 'test and valid, which look like splits'),
        (
            _other_class,
            "validation split contains the class 'c' .*training split does not",
        ),
    ],
)
def test_invalid_layouts_are_refused(tmp_path, make, match):
    with pytest.raises(DataError, match=match):
        image_folder(str(make(tmp_path)))


def test_class_names_that_contain_split_names(tmp_path):
    class_directories(tmp_path, {'test_tubes': 1, 'training_shoes': 1})
    for name in ('test_tubes/left', 'training_shoes/left', 'training_shoes/right'):
        (tmp_path / name).mkdir()
    assert image_folder(str(tmp_path)).class_names == ('test_tubes', 'training_shoes')


def test_split_like_directories_with_label_pattern(tmp_path):
    for name in ('my_train/1/cat.0.png', 'my_test/1/dog.0.png'):
        write(tmp_path / name, numbered_png(0))
        write(tmp_path / name.replace('/1/', '/2/'), numbered_png(0))
    found = image_folder(str(tmp_path), label_pattern=r'(cat|dog)')
    assert found.num_examples == {'train': 4}


def test_data_dir_is_required():
    with pytest.raises(DataError, match='`data_dir` is required'):
        image_folder(None)


@pytest.mark.parametrize(
    'pattern,match',
    [
        ('(', '`label_pattern` must be a regular expression'),
        ('cat', '`label_pattern` must have a group'),
        ('(dog)', '000.png has no class: `label_pattern=.*` must match every'),
    ],
)
def test_invalid_label_patterns_are_refused(tmp_path, pattern, match):
    class_directories(tmp_path, {'a': 1, 'b': 1})
    write(tmp_path / 'a' / 'dog.png', b'')
    with pytest.raises(DataError, match=match):
        image_folder(str(tmp_path), label_pattern=pattern)


@pytest.mark.parametrize('fraction', [1.0, -0.5])
def test_invalid_validation_split_is_refused(tmp_path, fraction):
    class_directories(tmp_path, {'a': 3, 'b': 3})
    with pytest.raises(DataError, match='`validation_split'):
        image_folder(str(tmp_path), validation_split=fraction)


def test_real_photos():
    source = image_folder(real_data('dogscats'), image_size=32)
    assert source.class_names == ('cats', 'dogs')
    assert source.num_examples['validation'] == 400
    names, labels, images = evaluate(source, 'validation', 400)[0]
    assert images.shape == (400, 32, 32, 3) and images.std() > 30
    for name, label in zip(names, labels, strict=True):
        assert f'/{source.class_names[label]}/' in name


def test_unreadable_directory_is_reported(tmp_path, monkeypatch):
    class_directories(tmp_path, {'a': 2, 'b': 2})
    refuse_to_list(monkeypatch, 'b')
    with pytest.raises(DataError, match='/b cannot be read: Permission denied'):
        image_folder(str(tmp_path))
    # Unless it belongs to the file system.
    class_directories(tmp_path, {'lost+found': 1})
    monkeypatch.undo()
    assert image_folder(str(tmp_path)).class_names == ('a', 'b')


def test_special_files_are_skipped_and_hang_nothing(tmp_path):
    for name in ('cat', 'dog'):
        write(tmp_path / name / 'a.jpg', numbered_png(1))
    os.mkfifo(tmp_path / 'cat' / 'fifo.jpg')
    os.symlink(tmp_path / 'cat' / 'fifo.jpg', tmp_path / 'dog' / 'link.jpg')
    os.symlink('/dev/zero', tmp_path / 'dog' / 'zero.jpg')
    source = open_dataset('image_folder', str(tmp_path))
    assert source.num_examples == {'train': 2}
    seen = []
    found = files_below(str(tmp_path), onspecial=lambda *pair: seen.append(pair))
    assert sorted(os.path.basename(p) for p in found) == ['a.jpg', 'a.jpg']
    assert sorted((os.path.basename(p), kind) for p, kind in seen) == [
        ('fifo.jpg', 'a FIFO (named pipe)'),
        ('link.jpg', 'a FIFO (named pipe)'),
        ('zero.jpg', 'a device'),
    ]


@pytest.mark.parametrize(
    'name, file',
    [
        ('image_folder', ''),
        ('tfrecord', ''),
        ('csv', ''),
        ('idx', 'train-images-idx3-ubyte'),
        ('cifar10', 'data_batch_1.bin'),
    ],
)
def test_a_named_pipe_for_data_is_an_error_of_every_format(name, file, tmp_path):
    path = tmp_path / file if file else tmp_path / 'fifo'
    os.mkfifo(path)
    if name == 'idx':
        (tmp_path / 'train-labels-idx1-ubyte').write_bytes(b'')
    if name == 'cifar10':
        (tmp_path / 'batches.meta.txt').write_text('a\nb\n')
    with pytest.raises(DataError, match='is a FIFO'):
        open_dataset(name, str(tmp_path if file else path))
