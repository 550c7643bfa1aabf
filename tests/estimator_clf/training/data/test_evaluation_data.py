"""Data to evaluate: that of a run, moved or not, or other data."""

import dataclasses
import shutil

import pytest

from estimator_clf.config.config import make_config
from estimator_clf.core.errors import ConfigError
from estimator_clf.training.data.datasets import open_source
from estimator_clf.training.data.evaluation_data import open_evaluation_data
from tests.helpers.images import class_directories


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """Returns settings and description of a run whose validation split is held out."""
    root = tmp_path_factory.mktemp('run')
    class_directories(str(root / 'own'), {'cat': 15, 'dog': 15})
    config = make_config(
        dataset='image_folder', data_dir=str(root / 'own'), validation_split=0.3
    )
    source = open_source(config)
    prints = {split: source.identity(split) for split in source.num_examples}
    return config, dataclasses.replace(source.info, fingerprints=prints)


def test_the_data_of_the_run_is_divided_as_in_training(run, tmp_path):
    config, info = run
    own = open_evaluation_data(config, info, '')
    moved = shutil.copytree(config.data.data_dir, tmp_path / 'moved')
    for found in (own, open_evaluation_data(config, info, str(moved))):
        assert found.splits == ['validation'] and not found.note
        assert found.source.num_examples == info.num_examples


def test_of_other_data_all_is_evaluated(run, tmp_path):
    config, info = run
    class_directories(str(tmp_path), {'cat': 15, 'dog': 16})
    found = open_evaluation_data(config, info, str(tmp_path))
    assert found.splits == ['train']
    assert found.source.num_examples == {'train': 31}
    assert 'is not the data of the run' in found.note
    assert found.note.endswith('Evaluating train (31 examples): all of it')


def test_the_held_out_part_of_other_data_must_be_named(run, tmp_path):
    config, info = run
    class_directories(str(tmp_path), {'cat': 15, 'dog': 16})
    found = open_evaluation_data(config, info, str(tmp_path), ['validation'])
    assert found.splits == ['validation']
    assert 0 < found.source.num_examples['validation'] < 31
    with pytest.raises(ConfigError, match="no split 'test'; it has: train"):
        open_evaluation_data(config, info, str(tmp_path), ['test'])


def test_other_data_with_splits_of_its_own(run, tmp_path):
    config, info = run
    for split in ('train', 'valid', 'test'):
        class_directories(str(tmp_path / split), {'cat': 2, 'dog': 3})
    found = open_evaluation_data(config, info, str(tmp_path))
    assert sorted(found.splits) == ['test', 'train', 'validation']
    assert set(found.source.num_examples.values()) == {5}


def test_a_run_of_an_older_version_is_known_by_its_counts(run, tmp_path):
    config, info = run
    info = dataclasses.replace(info, fingerprints=None)
    moved = shutil.copytree(config.data.data_dir, tmp_path / 'moved')
    assert open_evaluation_data(config, info, str(moved)).splits == ['validation']


def test_data_that_changed_in_its_place_is_named(run):
    config, info = run
    prints = {**info.fingerprints, 'train': {'content': 'another'}}
    info = dataclasses.replace(info, fingerprints=prints)
    found = open_evaluation_data(config, info, '')
    assert found.splits == ['validation']
    assert found.note.startswith('The data of the run has changed since: train: other')
