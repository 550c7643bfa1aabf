"""One limit of pixels in training, evaluation, conversion, the check and statistics."""

import pytest

import input as data
from estimator_clf.core.errors import DataError
from input.convert.to_tfrecords import convert
from input.corrupt_images import CorruptImages
from input.validate import Report, check_data
from tests.helpers.images import encode, image
from tests.helpers.read_dataset import evaluate

_LARGE = '40 x 30 pixels are more than the 1000 that may be decoded'


@pytest.fixture
def directory(tmp_path):
    for name in 'ab':
        (tmp_path / 'in' / name).mkdir(parents=True)
        for number in range(4):
            large = name == 'b' and number == 2
            size = {'height': 30, 'width': 40} if large else {}
            content = encode(image(seed=number, **size), 'PNG')
            (tmp_path / 'in' / name / f'{number}.png').write_bytes(content)
    return str(tmp_path / 'in')


def _open(directory, **options):
    return data.open_dataset('image_folder', directory, image_size=8, **options)


@pytest.mark.combinations
@pytest.mark.parametrize('cache', ['none', 'encoded', 'decoded'])
def test_larger_image_is_corrupt(directory, cache):
    source = _open(directory, max_image_pixels=1000)
    source.set_cache(cache)
    found = []
    source.corrupt_images = CorruptImages(1, lambda *pair: found.append(pair))
    keys = [key for keys, _, _ in evaluate(source, 'train', 4) for key in keys]
    assert len(keys) == 7
    ((name, reason),) = found
    assert name.endswith('b/2.png') and reason.startswith(_LARGE)
    assert '`max_image_pixels`' in reason


@pytest.mark.extended
def test_larger_image_is_decoded_on_request(directory):
    source = _open(directory, max_image_pixels=1200)
    assert sum(len(keys) for keys, _, _ in evaluate(source, 'train', 4)) == 8
    assert not source.unreadable()
    assert _open(directory, max_image_pixels=1199).unreadable()


def test_conversion_refuses_it(directory, tmp_path):
    args = {'name': 'image_folder', 'data_dir': directory, 'max_image_pixels': 1000}
    with pytest.raises(DataError, match=_LARGE):
        convert(args, str(tmp_path / 'out'), workers=1)
    assert not (tmp_path / 'out').exists()


def test_check_reports_it(directory):
    report = Report()
    args = {'name': 'image_folder', 'data_dir': directory, 'max_image_pixels': 1000}
    check_data(args, report)
    (finding,) = report.first['bomb']
    assert finding.where.endswith('b/2.png') and finding.detail.startswith(_LARGE)
    assert 'unreadable' not in report.counts
