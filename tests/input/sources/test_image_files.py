"""Sources with one file per image."""

import os

import numpy as np
import pytest
import tensorflow as tf

from input.images import file_kind
from input.sources.base import as_numpy_batches
from input.sources.image_files import ImageFileSource
from tests.helpers.images import (
    by_pillow,
    class_directories,
    encode,
    image,
    pixels,
    write,
)
from tests.helpers.read_dataset import evaluate, keys, train


def _source(paths, shape=(8, 8, 3)):
    labels = np.arange(len(paths), dtype=np.int32) % 2
    files = {'train': ([str(path) for path in paths], labels)}
    return ImageFileSource('f', ('a', 'b'), shape, files)


def test_format_follows_from_the_first_bytes(tmp_path):
    kinds = {'a.png': 'JPEG', 'b.jpg': 'PNG', 'c.bmp': 'GIF', 'd.gif': 'BMP'}
    paths = [
        write(tmp_path / name, encode(image(height=8, width=8), kind))
        for name, kind in kinds.items()
    ]
    ((names, _, images),) = evaluate(_source(paths), 'train', 4)
    assert names == paths
    for path, decoded in zip(paths, images, strict=True):
        with open(path, 'rb') as file:
            np.testing.assert_array_equal(decoded, by_pillow(file.read()))


@pytest.mark.extended
def test_images_are_resized_to_one_size(tmp_path):
    shapes = [(1, 1), (8, 8), (100, 3), (3, 100), (9, 7)]
    paths = [
        write(tmp_path / f'{n}.jpg', encode(pixels(*shape), 'JPEG'))
        for n, shape in enumerate(shapes)
    ]
    for augment in ('', 'resized_crop', 'resized_crop(1)'):
        ((_, _, images),) = train(_source(paths), 1, 5, augment=augment)
        assert images.shape == (5, 8, 8, 3)


def test_eval_crop_uses_the_center(tmp_path):
    array = np.full([16, 16, 3], 255, np.uint8)
    array[4:12, 4:12] = 10
    source = _source([write(tmp_path / 'a.png', encode(array, 'PNG'))])
    ((_, _, images),) = evaluate(source, 'train', 1, eval_crop=0.5)
    assert (images == 10).all()
    ((_, _, images),) = evaluate(source, 'train', 1)
    assert images.max() == 255


def test_resized_crop_is_applied_once(tmp_path):
    """It crops the pixels of the file, not resized ones."""
    array = np.zeros([64, 64, 3], np.uint8)
    array[:, ::2] = 255
    source = _source([write(tmp_path / 'a.png', encode(array, 'PNG'))])
    for _, _, images in train(source, 10, 1, augment='resized_crop(0.25)'):
        assert images.min() > 40 and images.max() < 215  # Anti-aliased to gray.


_STRANGE = [
    'with space',
    'grün 猫',
    'quote\'s "x"',
    '100%',
    'a,b;c',
    '[x]*?',
    'new\nline',
    '-n',
    '$HOME',
    '{}',
]


def test_unusual_names(tmp_path):
    class_directories(tmp_path, {name: 1 for name in _STRANGE})
    paths = [tmp_path / name / '000.png' for name in _STRANGE]
    ((names, _, images),) = evaluate(_source(paths), 'train', len(paths))
    assert names == [str(path) for path in paths]
    assert images[:, 0, 0, 0].tolist() == list(range(len(paths)))


@pytest.mark.extended
def test_names_that_are_not_utf8(tmp_path):
    directory = os.fsencode(tmp_path)
    try:
        for name in (b'caf\xe9.png', b'ok.png'):
            with open(os.path.join(directory, name), 'wb') as file:
                file.write(encode(image(height=8, width=8), 'PNG'))
    except OSError:
        pytest.skip('this file system takes UTF-8 names only')
    paths = sorted(os.path.join(tmp_path, name) for name in os.listdir(tmp_path))
    source = _source(paths)
    ((names, _, _),) = evaluate(source, 'train', 2)
    assert names == [f'{tmp_path}/caf\ufffd.png', f'{tmp_path}/ok.png']
    assert [key for key, _, _ in source.encoded('train')] == names
    assert source.unreadable() == []
    with open(os.path.join(directory, b'caf\xe9.png'), 'wb') as file:
        file.write(b'text')
    ((where, _),) = source.unreadable()
    assert where == names[0]


@pytest.fixture(name='corrupt')
def _corrupt(tmp_path):
    paths = class_directories(tmp_path, {'a': 4, 'b': 4})
    whole = encode(pixels(60, 20), 'JPEG')
    contents = {
        'text.jpg': b'this is no image',
        'empty.jpg': b'',
        'short.jpg': whole[: int(len(whole) * 0.9)],
        'short.png': encode(pixels(60, 20), 'PNG')[:-200],
    }
    paths += [write(tmp_path / 'b' / name, data) for name, data in contents.items()]
    missing = str(tmp_path / 'b' / 'gone.png')
    return _source([*paths, missing]), tmp_path / 'b'


@pytest.mark.extended
def test_unreadable_files_are_named(corrupt):
    source, directory = corrupt
    reasons = dict(source.unreadable())
    assert reasons.keys() == {
        str(directory / name)
        for name in ('text.jpg', 'empty.jpg', 'short.jpg', 'short.png', 'gone.png')
    }
    assert reasons[str(directory / 'text.jpg')] == file_kind.describe(b'text')
    assert reasons[str(directory / 'empty.jpg')] == file_kind.EMPTY
    assert reasons[str(directory / 'short.jpg')] == file_kind.corrupt('JPEG')
    assert reasons[str(directory / 'short.png')] == file_kind.corrupt('PNG')
    assert 'No such file' in reasons[str(directory / 'gone.png')]
    for reason in reasons.values():
        assert reason and '\n' not in reason and '{{' not in reason
    assert len(source.unreadable(limit=2)) == 2


@pytest.mark.extended
@pytest.mark.parametrize('augment', ['', 'resized_crop'])
def test_error_of_a_corrupt_image_is_explained(corrupt, augment):
    source, directory = corrupt
    with pytest.raises(tf.errors.OpError) as raised:
        train(source, 100, 2, augment=augment)
    text = source.explain(raised.value)
    assert text.startswith('5 images cannot be read:\n')
    assert f'{directory}/short.jpg: ' in text


def test_corruption_below_the_center_is_found(tmp_path):
    """Evaluation may not decode it, but a random crop does."""
    whole = encode(pixels(200, 20), 'JPEG')
    path = write(tmp_path / 'a.jpg', whole[: int(len(whole) * 0.8)])
    ((where, _),) = _source([path]).unreadable()
    assert where == path


def test_explain_without_a_cause_returns_none(tmp_path):
    source = _source(class_directories(tmp_path, {'a': 3}))
    assert source.unreadable() == []
    assert source.explain(ValueError('something else')) is None


def test_names_are_not_in_the_graph():
    sizes = []
    for count in (10, 1000):
        paths = [f'/somewhere/{n:0100d}.png' for n in range(count)]
        with tf.Graph().as_default() as graph:
            _source(paths).input_fn('train', 4, training=True)()
            sizes.append(graph.as_graph_def().ByteSize())
    assert sizes[1] < sizes[0] + 1000


def test_keys_are_paths(tmp_path):
    paths = class_directories(tmp_path, {'a': 3, 'b': 2})
    run = train(_source(paths), 1, 5)
    assert sorted(keys(run)) == sorted(paths)
    for features, _ in as_numpy_batches(_source(paths).input_fn('train', 5)):
        assert features['image'][:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
