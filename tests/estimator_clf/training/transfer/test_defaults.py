"""Settings that follow from the data, unless they are given."""

import types

import pytest

from estimator_clf.config.config import make_config
from estimator_clf.core.errors import ConfigError
from estimator_clf.training.transfer.defaults import resolve
from estimator_clf.training.transfer.hint import recipe_hint


def source(shape=(227, 227, 3), **num_examples):
    return types.SimpleNamespace(
        num_examples=num_examples,
        class_names=('cats', 'dogs'),
        image_shape=shape,
        name='photos',
    )


def config(**settings):
    settings = {'dataset': 'image_folder', 'transfer': True, **settings}
    return make_config(network=settings.pop('network', 'squeezenet'), **settings)


@pytest.mark.parametrize(
    ('splits', 'fine_tune', 'train_only'),
    [
        ({'train': 1602}, 'none', 'logits'),
        ({'train': 1282, 'validation': 320}, 'all', ''),
        ({'train': 160, 'validation': 40}, 'none', 'logits'),
        ({'train': 1602, 'test': 400}, 'none', 'logits'),
    ],
)
def test_fine_tuning_needs_enough_validation_images(splits, fine_tune, train_only):
    found = resolve(config(), source(**splits)).config
    assert found.transfer.fine_tune == fine_tune
    assert found.optimization.train_only == train_only


def test_test_split_selects_only_if_it_is_named():
    splits = source(train=1602, test=400)
    assert resolve(config(), splits).selection is None
    assert resolve(config(eval_split='test'), splits).selection == 'test'


def test_values_follow_from_the_number_of_images_and_are_told():
    few = resolve(config(), source(train=10))
    assert few.config.optimization.batch_size == 10
    assert '`batch_size=10`' in few.message and '10 training images' in few.message
    many = resolve(config(), source(train=4000, validation=1000)).config
    some = resolve(config(), source(train=600, validation=150)).config
    assert (many.run.epochs, some.run.epochs) == (2, 10)
    assert some.optimization.learning_rate < 0.001
    assert some.optimization.schedule == 'cosine'


def test_given_values_stay_also_where_they_are_the_defaults():
    given = {'batch_size': 128, 'learning_rate': 0.001, 'schedule': 'constant'}
    given |= {'epochs': 7.0, 'augment': '', 'early_stopping': ''}
    found = resolve(config(**given), source(train=600, validation=150)).config
    assert {name: found.to_flat()[name] for name in given} == given


def test_resolved_settings_stay_when_a_run_is_loaded():
    splits = source(train=600, validation=150)
    found = resolve(config(), splits).config
    loaded = make_config(**found.to_flat())
    assert resolve(loaded, splits).config == found


def test_patterns_are_trained_with_the_classifier():
    splits = source(train=600, validation=150)
    found = resolve(config(fine_tune='fire8, fire9'), splits).config
    assert found.optimization.train_only == 'fire8, fire9, logits'


def test_fine_tuning_without_validation_is_refused():
    with pytest.raises(ConfigError, match='`validation_split=0.2`'):
        resolve(config(fine_tune='all'), source(train=600, test=100))


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'train_only': 'fire9, logits'}, '`fine_tune`; give that instead'),
        ({'keep_best': 0}, '`keep_best` must be at least 1'),
    ],
)
def test_settings_that_contradict_the_phases_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        resolve(config(**settings), source(train=600, validation=150))


@pytest.mark.parametrize(
    ('settings', 'shape', 'size', 'expected'),
    [
        ({}, (64, 64, 3), 900, True),
        ({}, (64, 64, 3), 5000, False),
        ({}, (32, 32, 3), 900, False),
        ({}, (64, 64, 1), 900, False),
        ({'transfer': True}, (64, 64, 3), 900, False),
        ({'warm_start': 'runs/a'}, (64, 64, 3), 900, False),
        ({'dataset': 'cifar10'}, (64, 64, 3), 900, False),
    ],
    ids=['photos', 'many', 'small', 'gray', 'recipe', 'warm start', 'known'],
)
def test_hint_is_for_trainings_from_scratch_on_few_photos(
    settings, shape, size, expected
):
    settings = {'transfer': False, 'network': 'cnn', **settings}
    hint = recipe_hint(config(**settings), source(shape, train=size))
    assert (hint is not None) == expected
    assert not hint or '`recipe=transfer`' in hint
