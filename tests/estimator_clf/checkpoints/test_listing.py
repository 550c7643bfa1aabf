"""Lists of checkpoints, intact or corrupt."""

import pytest

from estimator_clf.checkpoints.best import best_checkpoint
from estimator_clf.checkpoints.listing import latest_checkpoint, names_of_checkpoints
from estimator_clf.core.errors import ConfigError
from estimator_clf.training.saved_runs import find_checkpoint
from estimator_clf.warm_start.sources import open_source


@pytest.fixture
def directory(tmp_path):
    """Directory like that of a run, with an empty list of checkpoints."""
    for step in (100, 20, 3):
        (tmp_path / f'model.ckpt-{step}.index').touch()
        (tmp_path / f'model.ckpt-{step}.data-00000-of-00001').touch()
    (tmp_path / 'checkpoint').touch()
    return tmp_path


def test_names_are_sorted_by_step(directory):
    names = names_of_checkpoints(str(directory))
    assert names == ['model.ckpt-3', 'model.ckpt-20', 'model.ckpt-100']


def test_latest(directory):
    (directory / 'checkpoint').write_text('model_checkpoint_path: "model.ckpt-20"\n')
    assert latest_checkpoint(str(directory)) == str(directory / 'model.ckpt-20')
    (directory / 'checkpoint').unlink()
    assert latest_checkpoint(str(directory)) is None
    assert latest_checkpoint(str(directory / 'missing')) is None


@pytest.mark.parametrize(
    'content', ['', 'model_chec', 'model_checkpoint_path: "model.ckpt-5"\n']
)
def test_corrupt_list_is_an_error(directory, content):
    (directory / 'checkpoint').write_text(content)
    for read in (latest_checkpoint, find_checkpoint, open_source):
        with pytest.raises(ConfigError, match='checkpoint, the list .*/model.ckpt-100'):
            read(str(directory))
    assert find_checkpoint(str(directory), '20') == str(directory / 'model.ckpt-20')
    with pytest.raises(ConfigError, match='are: model.ckpt-3, model.ckpt-20, model.*0'):
        find_checkpoint(str(directory), '21')


def test_corrupt_list_of_a_best_checkpoint_is_an_error(directory):
    best = directory / 'best'
    best.mkdir()
    (best / 'best.json').write_text('{"best": [{"path": "20", "step": 20}]}')
    (best / '20').mkdir()
    (best / '20' / 'checkpoint').touch()
    (best / '20' / 'model.ckpt-20.index').touch()
    with pytest.raises(ConfigError, match='best/20/checkpoint, the list'):
        best_checkpoint(str(directory))
