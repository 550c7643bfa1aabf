"""`open_dataset` and the registry of formats."""

import dataclasses
import subprocess
import sys

import pytest
from PIL import Image

from input import FORMATS, DataError, open_dataset
from input.dataset_info import DatasetInfo


def test_formats_have_a_summary_each():
    names = FORMATS.names()
    known = 'arrays cifar10 cifar100 csv digits idx image_folder mnist tfrecord'.split()
    assert set(known) <= names.keys()
    assert all(names.values())
    assert FORMATS.options('image_folder')['validation_split'] == 0.0


def test_listing_formats_does_not_import_tensorflow():
    code = (
        'import sys, input; input.FORMATS.names(); input.FORMATS.options("idx"); '
        'sys.exit("tensorflow" in sys.modules)'
    )
    assert subprocess.run([sys.executable, '-c', code]).returncode == 0


def test_open_dataset():
    source = open_dataset('digits', validation_split=0.1, info=None)
    assert set(source.num_examples) == {'train', 'test', 'validation'}


def test_none_and_empty_options_are_ignored():
    open_dataset('digits', data_dir=None, image_size=None, label_pattern='')


@pytest.mark.parametrize(
    'name,options,match',
    [
        ('digit', {}, "`dataset`: there is no 'digit'; did you mean 'digits'"),
        ('', {}, "`dataset`: there is no ''"),
        ('digits:x', {}, 'only tfds accepts a name after a colon.*`dataset=digits`'),
        (
            'digits',
            {'image_size': 8},
            '`image_size` has no meaning for .*, which accepts: `validation_split`$',
        ),
        (
            'idx',
            {'label_pattern': 'x'},
            'accepts: `prefix`, `transpose`, `validation_split`',
        ),
    ],
)
def test_invalid_options_are_refused(name, options, match):
    with pytest.raises(DataError, match=match):
        open_dataset(name, **options)


def test_other_classes_than_those_of_the_run_are_refused():
    info = open_dataset('digits').info
    renamed = dataclasses.replace(info, class_names=(*info.class_names[:9], 'nine'))
    assert open_dataset('digits', info=info).info == info
    with pytest.raises(DataError, match='the classes of digits .* 8, nine, got 0, 1'):
        open_dataset('digits', info=renamed)


def test_image_shape_is_that_of_the_run(tmp_path):
    for name in ('cat', 'dog'):
        (tmp_path / name).mkdir()
        Image.new('L', (20, 30)).save(tmp_path / name / '1.png')
    info = DatasetInfo('x', ('cat', 'dog'), (8, 9, 3), {}, (1.0,) * 3, (1.0,) * 3)
    source = open_dataset('image_folder', data_dir=str(tmp_path), info=info)
    assert source.image_shape == (8, 9, 3)
