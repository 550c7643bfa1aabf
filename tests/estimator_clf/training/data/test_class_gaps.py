"""Classes without an example are named before the training."""

import numpy as np
import pytest

from estimator_clf.core.errors import DataError
from estimator_clf.training.data.class_gaps import class_gaps
from input.formats.arrays import from_arrays
from input.formats.tfrecord import tfrecord
from input.sampling.subset import Subset, select
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
        '`exclude_classes=1,2,3,4`.'
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


@pytest.mark.extended
def test_a_label_that_labels_txt_has_no_name_for(tmp_path):
    records = [
        example(image__encoded=png(n), image__class__label=1 + n % 2) for n in range(6)
    ]
    write_shard(tmp_path / 'train.tfrecord', records)
    (tmp_path / 'labels.txt').write_text('cat\ndog\n')
    source = tfrecord(str(tmp_path))
    with pytest.raises(DataError, match='must be from 0 to 1, got 2') as caught:
        source.labels('train')
    assert 'tfrecord(label_offset=1)' in str(caught.value)
    fixed = tfrecord(str(tmp_path), label_offset=1)
    assert fixed.class_counts('train').tolist() == [3, 3]
    # A name too many, as for ImageNet's background: no offset is suggested.
    (tmp_path / 'labels.txt').write_text('background\ncat\ndog\n')
    (text,) = class_gaps(tfrecord(str(tmp_path)), 'train', None)
    assert "('background') has no example" in text and 'label_offset' not in text


def test_too_many_examples_per_class_name_the_way_out():
    with pytest.raises(DataError, match='omit that class with `exclude_classes=1`'):
        select(_arrays([0, 0, 2, 2]), Subset(per_class=2))
