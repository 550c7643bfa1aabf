"""Log of the images that a run skipped."""

import json
import types

import pytest
import tensorflow as tf

from estimator_clf.loggers.corrupt_images import (
    FILE_NAME,
    CorruptImagesLog,
    skip_corrupt_images,
)
from input.formats.image_folder import image_folder
from tests.helpers.images import class_directories, write
from tests.helpers.launching import lines
from tests.helpers.small_run import Recorder, run


def test_each_image_is_logged_once(tmp_path):
    messages = []
    log = CorruptImagesLog(str(tmp_path), messages.append, 2)
    for number in range(3):
        log.note(f'{number}.png', 'why')
    found = lines(tmp_path / FILE_NAME)
    assert [line['key'] for line in found] == ['0.png', '1.png', '2.png']
    assert found[0]['reason'] == 'why' and found[0]['time'] > 1e9
    # The third exceeds the limit: the error that follows names it.
    assert len(messages) == 2
    assert messages[1].startswith(
        'Skipped, since it cannot be read: 1.png: why (2 so far'
    )
    with open(tmp_path / FILE_NAME, 'a', encoding='utf-8') as file:
        file.write('{"key": "4.p')  # Killed during a write.
    later = CorruptImagesLog(str(tmp_path), messages.append, 2)
    later.note('1.png', 'why')
    assert len(messages) == 3
    with open(tmp_path / FILE_NAME, encoding='utf-8') as file:
        assert file.read().count('1.png') == 1


def test_lines_are_buffered_until_the_directory_exists(tmp_path):
    log = CorruptImagesLog(str(tmp_path / 'run'), print, 2)
    log.note('a.png', 'why')
    log.flush()
    assert not (tmp_path / 'run').exists()
    (tmp_path / 'run').mkdir()
    log.flush()
    assert [line['key'] for line in lines(tmp_path / 'run' / FILE_NAME)] == ['a.png']
    log.flush()
    assert len(lines(tmp_path / 'run' / FILE_NAME)) == 1


def test_without_a_limit_nothing_is_skipped():
    source = types.SimpleNamespace(corrupt_images=None)
    skip_corrupt_images(source, 0, print).flush()
    assert source.corrupt_images is None


@pytest.fixture(name='data')
def _data(tmp_path):
    for split in ('train', 'test'):
        paths = class_directories(tmp_path / split, {'a': 8, 'b': 8, 'c': 8})
        write(paths[5], b'no image')
    return image_folder(str(tmp_path))


@pytest.mark.extended
def test_run_skips_corrupt_images(data, tmp_path):
    recorder = Recorder()
    results = run(tmp_path / 'run', recorder, data, max_corrupt_images=2, max_steps=6)
    assert results.step == 6
    corrupt = {str(tmp_path / split / 'a' / '005.png') for split in ('train', 'test')}
    assert {line['key'] for line in lines(tmp_path / 'run' / FILE_NAME)} == corrupt
    assert sum('Skipped' in text for text in recorder.messages) == 2
    steps = lines(tmp_path / 'run' / 'keys.jsonl')
    assert not corrupt & {key for line in steps for key in line['keys']}


@pytest.mark.slow
def test_run_ends_beyond_the_limit(data, tmp_path):
    with pytest.raises(tf.errors.OpError) as raised:
        run(tmp_path / 'run', Recorder(), data, max_corrupt_images=1, max_steps=6)
    assert data.explain(raised.value).startswith('2 images cannot be read, where')
    keys = json.dumps(lines(tmp_path / 'run' / FILE_NAME))
    assert 'train/a/005.png' in keys and 'test/a/005.png' in keys
