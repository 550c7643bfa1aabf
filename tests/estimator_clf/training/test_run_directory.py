"""What a directory of a run refuses, with the way out."""

import json
import shutil

import numpy as np
import pytest

from estimator_clf.checkpoints import dataset_json
from estimator_clf.config.config import make_config
from estimator_clf.core.errors import ConfigError
from estimator_clf.training import run_directory
from input.formats.arrays import from_arrays
from tests.helpers.small_run import NAMES, Recorder, make_images, run


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    directory = tmp_path_factory.mktemp('trained')
    run(directory, max_steps=2, log_every='1')
    return directory


def _resume(directory, data=None, **settings):
    recorder = Recorder()
    run(directory, recorder, data, **{'max_steps': 2, 'log_every': '1', **settings})
    return recorder.messages


def _data(change):
    arrays = {'train': make_images(45), 'test': make_images(20, seed=1)}
    change(*arrays['train'])
    return from_arrays(arrays, NAMES, name='small')


def _exchange_labels(images, labels):
    first, second = np.flatnonzero(labels == 0)[0], np.flatnonzero(labels == 1)[0]
    labels[first], labels[second] = 1, 0


def _exchange_pixels(images, labels):
    images[3] = 255 - images[3]


@pytest.mark.parametrize(
    'change,words',
    [
        (_exchange_labels, 'train: the same images, but in other classes'),
        (_exchange_pixels, 'train: other content, with as many examples as before'),
    ],
)
def test_data_of_equal_counts_is_refused(trained, change, words):
    with pytest.raises(ConfigError, match='the data has changed') as caught:
        _resume(trained, _data(change))
    message = str(caught.value)
    assert words in message and 'test:' not in message
    assert f'set `warm_start={trained}` and another `model_dir`' in message
    # The same arrays again, made again, are the same data.
    assert any('has all 2 steps' in m for m in _resume(trained, _data(lambda *_: 0)))


def test_every_refusal_says_how_to_use_the_weights(trained, tmp_path):
    for settings in ({'seed': 3}, {'resume': 'never'}):
        with pytest.raises(ConfigError) as caught:
            _resume(trained, **settings)
        assert f'set `warm_start={trained}` and another' in str(caught.value)
    copy = shutil.copytree(trained, tmp_path / 'copy')
    (copy / 'config.json').unlink()
    with pytest.raises(ConfigError, match='of another program') as caught:
        _resume(copy)
    assert f'set `warm_start={copy}` and another' in str(caught.value)
    with pytest.raises(ConfigError, match='set `model_dir` to the run to resume'):
        _resume(tmp_path / 'none', resume='must')
    # And that way is one.
    messages = _resume(tmp_path / 'new', warm_start=str(trained))
    assert any('Warm start from' in message for message in messages)


def test_the_way_out_fits_the_settings():
    pretrained = make_config(
        dataset='digits',
        network='pretrained(name=MobileNetV2, weights=imagenet)',
        model_dir='r',
    )
    text = run_directory._way_out(pretrained)
    assert 'weights=none of `network`' in text
    ftrl = make_config(dataset='digits', network='linear', optimizer='ftrl')
    assert 'warm_start' not in run_directory._way_out(ftrl)


def test_a_run_of_an_older_version_resumes_and_says_so(trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / 'copy')
    path = copy / 'dataset.json'
    facts = json.loads(path.read_text())
    assert set(facts.pop('fingerprints')) == {'train', 'test'}
    path.write_text(json.dumps(facts))
    messages = _resume(copy)
    assert sum('has no fingerprint of the data' in m for m in messages) == 1
    assert 'fingerprints' in json.loads(path.read_text())
    assert not any('no fingerprint' in m for m in _resume(copy))


def test_an_evaluation_set_of_other_images_needs_another_name(trained):
    config = make_config(dataset='digits', model_dir=str(trained))
    info = dataset_json.load(str(trained))
    first = {'phone': {'examples': 3, 'content': 'a'}}
    stored = run_directory.with_eval_sets(config, info, first)
    assert stored.fingerprints.keys() == {'train', 'test', 'eval_set:phone'}
    before = (trained / 'dataset.json').read_bytes()
    try:
        dataset_json.save(stored, str(trained))
        # It is omitted for once, and is there again.
        for sets in ({}, first):
            again = run_directory.with_eval_sets(config, info, sets)
            assert again.fingerprints == stored.fingerprints
        other = {'phone': {'examples': 3, 'content': 'b'}}
        with pytest.raises(ConfigError, match="the data of 'phone' has changed"):
            run_directory.with_eval_sets(config, info, other)
    finally:
        (trained / 'dataset.json').write_bytes(before)


@pytest.mark.extended
def test_more_steps_of_a_schedule_are_reported(trained, tmp_path):
    settings = {'schedule': 'cosine', 'max_steps': 2, 'log_every': '1'}
    run(tmp_path, **settings)
    recorder = Recorder()
    run(tmp_path, recorder, **{**settings, 'max_steps': 3})
    assert any('set `schedule_length=2`' in m for m in recorder.messages)
