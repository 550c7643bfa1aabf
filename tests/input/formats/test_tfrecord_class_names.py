"""Rules for the names of classes in TFRecords."""

import pytest

from estimator_clf.core.errors import DataError
from input.convert.to_tfrecords import convert
from input.formats.image_folder import image_folder
from input.formats.tfrecord import tfrecord
from tests.helpers.images import class_directories


@pytest.mark.combinations
@pytest.mark.parametrize(
    'names,fault',
    [
        ('x\nx\n', "labels.txt: the classes 0 and 1 have the same name, 'x'"),
        ('caf\u00e9\ncafe\u0301\n', 'labels.txt: .* different Unicode normalization'),
        ('x\n', 'labels.txt: a classifier needs at least two classes'),
        ('a\tb\nx\n', 'labels.txt: .* control character U.0009'),
    ],
)
def test_faults_name_the_file(tmp_path, names, fault):
    class_directories(tmp_path / 'a', {'x': 2, 'y': 1})
    convert({'name': 'image_folder', 'data_dir': str(tmp_path / 'a')}, tmp_path / 'b')
    (tmp_path / 'b' / 'labels.txt').write_text(names, encoding='utf-8')
    with pytest.raises(DataError, match=fault):
        tfrecord(str(tmp_path / 'b'))


def test_names_survive_conversion(tmp_path):
    names = ['9', '10', 'a\xa0b', 'tench, Tinca tinca', '👩\u200d🔬']
    class_directories(tmp_path / 'a', dict.fromkeys(names, 1))
    convert({'name': 'image_folder', 'data_dir': str(tmp_path / 'a')}, tmp_path / 'b')
    assert image_folder(str(tmp_path / 'a')).class_names == tuple(names)
    assert tfrecord(str(tmp_path / 'b')).class_names == tuple(names)
