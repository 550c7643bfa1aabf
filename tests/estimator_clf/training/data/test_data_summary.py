"""Summaries of data."""

from estimator_clf.training.data.data_summary import data_summary, training_roles
from input import open_dataset
from tests.helpers.images import class_directories, encode, pixels, write


def test_image_folder(tmp_path):
    class_directories(tmp_path / 'train', {'10': 2, '9': 3, 'tench, Tinca tinca': 1})
    class_directories(tmp_path / 'test', {'10': 1})
    class_directories(tmp_path / 'fold2', {'10': 4})
    write(tmp_path / 'train' / '9' / 'x.jpg', encode(pixels(20, 30), 'JPEG'))
    source = open_dataset('image_folder', str(tmp_path), image_size=16)
    assert data_summary(source, training_roles('train', None)) == [
        f'image_folder:{tmp_path.name}: 3 classes, label, name and examples in train: '
        '0: 9 (4), 1: 10 (2), 2: "tench, Tinca tinca" (1)',
        'Images: 16x16 pixels, color, resized from 8x8 to 20x30 (height x width)',
        'Splits: train 7 (training), test 1 (evaluation at the end)',
        'Not used: 4 files, next to the directories of the splits (fold2)',
    ]


def test_many_classes_are_abbreviated(tmp_path):
    class_directories(tmp_path, {str(n): 1 for n in range(1, 31)})
    first, *_ = data_summary(open_dataset('image_folder', str(tmp_path)))
    assert '7: 8 (1), …, 28: 29 (1), 29: 30 (1)' in first


def test_unused_splits_and_files_of_records(tmp_path):
    from input.convert.to_tfrecords import convert

    class_directories(tmp_path / 'a', {'x': 3, 'y': 2})
    opened = []
    args = {'name': 'image_folder', 'data_dir': str(tmp_path / 'a')}
    convert(args, str(tmp_path / 'b'), on_open=opened.append)
    assert data_summary(opened[0])[-1] == 'Splits: train 5'
    (shard,) = (tmp_path / 'b').glob('train-*')
    for name in ('train_2.tfrecord', 'old/train-00000-of-00001.tfrecord'):
        write(tmp_path / 'b' / name, shard.read_bytes())
    write(tmp_path / 'b' / 'train.bak', b'')
    write(tmp_path / 'b' / '.DS_Store', b'')
    source = open_dataset('tfrecord', str(tmp_path / 'b'))
    lines = data_summary(source, training_roles('train', None))
    assert lines[0].endswith(': 2 classes, label and name: 0: x, 1: y')
    assert lines[-2:] == [
        'Splits: train 5 (training), train_2 5 (not used)',
        'Not used: 1 file, not named as a shard of a split (train.bak); 1 file, '
        'TFRecord files in a directory that is no split (old)',
    ]
