"""A class or a dataset without an image that can be decoded is refused at opening."""

import pytest

import input as data
from estimator_clf.core.errors import DataError
from input.validate import Report, check_data
from tests.helpers.images import encode, image

_WEBP = b'RIFF\x24\0\0\0WEBPVP8 ' + bytes(20)
_POINTER = b'version https://git-lfs.github.com/spec/v1\noid sha256:1\n'


def _directory(root, contents, count=5):
    for name, content in contents.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            (root / name / f'{number}.jpg').write_bytes(content)
    return str(root)


def _open(*arguments, **options):
    return data.open_dataset('image_folder', _directory(*arguments), **options)


def _good():
    return encode(image(), 'JPEG')


def test_dataset_of_another_kind_is_refused_as_a_whole(tmp_path):
    with pytest.raises(DataError) as raised:
        _open(tmp_path, {'a': _WEBP, 'b': _WEBP})
    message = str(raised.value)
    assert 'None of the 10 files' in message and '(10 WebP)' in message
    assert 'a/0.jpg' in message and message.endswith('convert it to JPEG or PNG')


def test_class_without_an_image_is_refused(tmp_path):
    contents = {'train/a': _good(), 'train/b': _good()}
    contents |= {'test/a': _good(), 'test/b': _POINTER}
    match = "class 'b' of the test split has no image .* run `git lfs pull`"
    with pytest.raises(DataError, match=match):
        _open(tmp_path, contents)


def test_empty_files_are_named(tmp_path):
    with pytest.raises(DataError, match='10 an empty file'):
        _open(tmp_path, {'a': b'', 'b': b''})


def test_class_with_one_image_is_opened(tmp_path):
    root = _directory(tmp_path, {'a': _good(), 'b': _WEBP})
    (tmp_path / 'b' / '9.jpg').write_bytes(_good())
    source = data.open_dataset('image_folder', root)
    assert source.num_examples == {'train': 11}


def test_check_data_names_each_file_and_the_whole(tmp_path):
    report = Report()
    root = _directory(tmp_path, {'a': _WEBP, 'b': _WEBP})
    check_data({'name': 'image_folder', 'data_dir': root}, report)
    assert report.counts['not_an_image'] == 10 and report.counts['refused'] == 1
    assert 'None of the 10 files' in report.first['refused'][0].detail
