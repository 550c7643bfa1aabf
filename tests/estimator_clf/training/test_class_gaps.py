"""Classes without an example are named before the training."""

import numpy as np

from estimator_clf.training.class_gaps import class_gaps
from input.formats.arrays import from_arrays
from input.formats.tfrecord import tfrecord
from tests.helpers.record_examples import example, png, write_shard


def _arrays(labels, validation=()):
    arrays = {'train': (np.zeros([len(labels), 2, 2, 1], np.uint8), np.array(labels))}
    if validation:
        pixels = np.zeros([len(validation), 2, 2, 1], np.uint8)
        arrays['validation'] = (pixels, np.array(validation))
    return from_arrays(arrays)


def test_no_gap_no_message():
    assert not list(class_gaps(_arrays([0, 1, 0], [1, 0]), 'train', 'validation'))
    assert not list(class_gaps(_arrays([0, 1, 0]), 'train', None))


def test_classes_without_training_examples():
    (text,) = class_gaps(_arrays([0, 5, 5]), 'train', None)
    assert text == (
        "4 of the 6 classes ('1', '2', '3', '4') have no example in the split 'train': "
        'the network learns nothing about them. To train without them, set '
        '`exclude_classes=1, 2, 3, 4`.'
    )


def test_a_class_without_validation_examples():
    (text,) = class_gaps(_arrays([0, 1, 2], [0, 1]), 'train', 'validation')
    assert text == (
        "1 of the 3 classes ('2') has no example in the split 'validation': the "
        'metrics say nothing about it.'
    )


def test_records_whose_labels_start_at_1(tmp_path):
    write_shard(
        tmp_path / 'train.tfrecord',
        [
            example(image__encoded=png(n), image__class__label=1 + n % 2)
            for n in range(6)
        ],
    )
    (text,) = class_gaps(tfrecord(str(tmp_path)), 'train', None)
    assert "1 of the 3 classes ('0') has no example" in text
    assert 'tfrecord(label_offset=1)' in text
    fixed = tfrecord(str(tmp_path), label_offset=1)
    assert not list(class_gaps(fixed, 'train', None))
