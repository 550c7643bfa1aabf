"""Rules about settings that involve more than one of them, each stated once.

Needs neither TensorFlow nor the data: a mistake in a flag is reported at once.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from estimator_clf.config import class_weights, early_stopping, eval_set_specs, parsers
from estimator_clf.config.groups.fields import FIELDS
from estimator_clf.config.model_options import network_options, proxy_options
from estimator_clf.config.warm_start_rules import WarmStartRules
from estimator_clf.core import intervals
from estimator_clf.core.call_syntax import parse_calls, parse_list
from estimator_clf.core.errors import ConfigError
from estimator_clf.core.paths import expand_path
from input import FORMATS
from model_fns import registry

if TYPE_CHECKING:
    from estimator_clf.config.config import Config


def validate(config: 'Config') -> None:
    """Checks everything that can be checked before anything is opened.

    Raises:
      ConfigError, SettingError, DataError: an invalid combination of settings, an
        unknown format or network, or an invalid option of one. The message names the
        settings.
    """
    for rule in _RULES:
        rule(config)


def unused_settings(config: 'Config') -> list[str]:
    """Lists settings without effect, in one sentence each.

    These are not errors: a flagfile may set what another optimizer would use.
    """
    values, found = config.to_flat(), []
    for name, (chooser, users) in _USED_BY.items():
        if values[name] != FIELDS[name].default and values[chooser] not in users:
            found.append(
                f'`{name}={values[name]}` has no effect with '
                f'`{chooser}={values[chooser]}`; it is for ' + ', '.join(users)
            )
    if values['schedule_length'] and not _uses_schedule_length(values):
        found.append(
            f'`schedule_length={values["schedule_length"]}` has no effect with '
            f'`schedule={values["schedule"]}`, without `lookahead`, and without shares '
            'of the run in `warmup` or `decay_at`'
        )
    if values['warmup_from'] and values['warmup'] == FIELDS['warmup'].default:
        value = values['warmup_from']
        found.append(f'`warmup_from={value}` has no effect without `warmup`')
    return found


def _uses_schedule_length(values):
    return (
        values['schedule'] not in ('constant', 'step')
        or values['lookahead']
        or '%' in values['warmup']
        or (values['schedule'] == 'step' and '%' in values['decay_at'])
    )


# Settings that only some optimizers and schedules use.
_USED_BY = {
    'momentum': ('optimizer', ('momentum', 'nesterov', 'muon')),
    'decay_at': ('schedule', ('step',)),
    'decay_rate': ('schedule', ('step', 'exponential')),
    'decay_power': ('schedule', ('polynomial',)),
    'end_learning_rate': ('schedule', ('polynomial', 'cosine')),
}


def _syntax(config):
    """Every structured setting can be parsed."""
    optimization, run = config.optimization, config.run
    intervals.parse(optimization.warmup, 'warmup')
    intervals.parse(run.save_every, 'save_every')
    intervals.parse(config.evaluation.eval_every, 'eval_every')
    length = optimization.schedule_length
    if length:
        number, unit = intervals.parse(length, 'schedule_length')
        if unit == '%' or not number:
            raise ConfigError(
                '`schedule_length` must be a number of steps (500) or epochs '
                f'(10epochs), more than 0, got {length!r}'
            )
    if run.log_every:
        intervals.parse(run.log_every, 'log_every')
    intervals.step_range(run.profile, 'profile')
    early_stopping.parse_patience(config.evaluation.early_stopping, 'early_stopping')
    eval_set_specs.parse(config.evaluation.extra_eval_sets)
    parse_calls(config.data.augment, 'augment')
    parse_list(config.data.classes, 'classes')
    parse_list(config.data.exclude_classes, 'exclude_classes')
    class_weights.parse(optimization.class_weights)
    parsers.parse_lookahead(optimization.lookahead)
    parsers.parse_eval_tta(config.evaluation.eval_tta)
    for name in ('freeze', 'train_only'):
        parsers.parse_patterns(getattr(optimization, name), name)
    for name in ('lr_multipliers', 'decay_multipliers'):
        parsers.parse_multipliers(getattr(optimization, name), name)


def _dataset(config):
    FORMATS.facts(config.dataset_call.name.partition(':')[0])
    if config.dataset_call.args:
        raise ConfigError(
            f'`dataset={config.data.dataset}`: options are written key=value, as in '
            'tfrecord(image_key=img)'
        )


def _length(config):
    if config.run.epochs and config.run.max_steps:
        raise ConfigError('`epochs` and `max_steps` both set the length; give one')


def _batch(config):
    steps = config.optimization.gradient_accumulation_steps
    parts = steps * (config.hardware.replicas or 1)
    size = config.optimization.batch_size
    if size and steps > 1 and size % parts:
        raise ConfigError(
            '`batch_size` must be a multiple of `gradient_accumulation_steps` (times '
            f'`replicas`), {parts}, got {size}'
        )


def _class_balance(config):
    balanced = config.optimization.class_weights == 'balanced'
    if balanced and config.data.sampling != 'natural':
        raise ConfigError(
            '`class_weights=balanced` and `sampling` both give rare classes more '
            'weight; give one of them'
        )


def _hard_example_mining(config):
    optimization = config.optimization
    selects = optimization.hard_example_fraction < 1
    if selects != bool(optimization.proxy):
        raise ConfigError(
            '`hard_example_fraction` below 1 requires `proxy`, and `proxy` requires '
            '`hard_example_fraction` below 1; got '
            f'`hard_example_fraction={optimization.hard_example_fraction:g}`, '
            f'`proxy={optimization.proxy}`'
        )
    for name in ('class_weights', 'cache_features'):
        if selects and getattr(optimization, name):
            raise ConfigError(f'`hard_example_fraction` cannot be used with `{name}`')
    if selects and registry.weights(config.proxy_call.name, proxy_options(config)):
        raise ConfigError(
            f'`proxy={optimization.proxy}` must start without published weights: give '
            'it the option weights=none, or use a smaller network, which is the purpose'
        )


def _lookahead(config):
    replicas = config.hardware.replicas or 1
    if config.optimization.lookahead and replicas > 1:
        raise ConfigError(
            f'`lookahead` is for one device, not for `replicas={replicas}`; use '
            '`ema_decay` on several'
        )


def _ftrl(config):
    optimization = config.optimization
    if optimization.optimizer != 'ftrl':
        return
    network = config.network_call.name
    if not network.startswith('linear'):
        raise ConfigError(
            '`optimizer=ftrl` is for `network=linear` and linear_regression: it starts '
            f'with all weights at 0, from where {network} learns nothing'
        )
    # Its weights are a sum of gradients times the current rate.
    values = config.to_flat()
    for name in ('warmup', 'warm_start', 'max_rollbacks'):
        if values[name] != FIELDS[name].default:
            raise ConfigError(
                '`optimizer=ftrl` starts with all weights at 0, and scales them with '
                f'the learning rate: it cannot be used with `{name}`'
            )
    if optimization.schedule != 'constant':
        raise ConfigError(
            '`optimizer=ftrl` shrinks all weights with the learning rate: it requires '
            f'`schedule=constant`, got {optimization.schedule}'
        )


def _transfer(config):
    """Rules of the phases; `training.transfer` has those that depend on the data."""
    values = config.to_flat()
    if not config.transfer.transfer:
        for name in ('classifier_l2', 'fine_tune'):
            if values[name] != FIELDS[name].default:
                raise ConfigError(f'`{name}={values[name]}` requires `transfer`')
        return
    if registry.head(config.network_call.name) != 'classification':
        raise ConfigError('`transfer` is for images, not for numbers (csv)')
    if config.optimization.loss != 'cross_entropy':
        raise ConfigError(
            '`transfer` fits a softmax: it requires `loss=cross_entropy`, got '
            f'`loss={config.optimization.loss}`'
        )
    if config.optimization.optimizer == 'ftrl':
        raise ConfigError('`transfer` cannot be used with `optimizer=ftrl`')
    if config.optimization.cache_features:
        raise ConfigError(
            '`transfer` caches the features itself: omit `cache_features`'
        )
    if config.optimization.hard_example_fraction < 1:
        raise ConfigError('`transfer` cannot be used with `hard_example_fraction`')
    parsers.parse_patterns(config.transfer.fine_tune, 'fine_tune')


def _test_time_augmentation(config):
    views = config.evaluation.eval_tta not in ('', 'none')
    if config.exports.export_tta and not views:
        raise ConfigError('`export_tta` requires `eval_tta`, which defines it')
    if views and config.optimization.cache_features:
        raise ConfigError('`eval_tta` cannot be used with `cache_features`')


def _network(config):
    network_options(config)
    name, samples = config.network_call.name, config.evaluation.eval_samples
    if samples > 1 and not registry.random(name):
        raise ConfigError(
            f'`eval_samples={samples}`: nothing in `network={name}` is random outside '
            'of training, so all forward passes would be equal; omit it (fmp is a '
            'network that benefits)'
        )


def _regression(config):
    numbers = config.dataset_call.name.partition(':')[0] == 'csv'
    network = config.network_call.name
    if (registry.head(network) == 'regression') != numbers:
        raise ConfigError(
            f'`network={network}` cannot be used with `dataset={config.data.dataset}`: '
            'numbers (csv) are for linear_regression, images for the other networks'
        )
    for name in ('cache_features', 'class_weights', 'label_smoothing', 'proxy'):
        if numbers and getattr(config.optimization, name):
            raise ConfigError(f'`{name}` is for images, not for numbers (csv)')


def _warm_start(config):
    model = config.model
    WarmStartRules.of(model)
    if not model.warm_start:
        return
    options = network_options(config)
    if str(options.get('name', '')).startswith('EfficientNetB'):
        # It exists in two variants, with and without a layer that has no weights.
        if 'weights' not in options:
            raise ConfigError(
                f'`warm_start` with {options["name"]}: the network option weights must '
                "say whether its initial weights were Keras's for ImageNet "
                '(weights=imagenet: images are rescaled for them) or not (weights=none)'
            )
    # Equal after `resolve_auto`, which copies the option to `warm_start`.
    elif options.get('weights', 'none') not in ('none', model.warm_start):
        raise ConfigError(
            f'`warm_start={model.warm_start}` and the network option '
            f'weights={options["weights"]} both name the initial weights; give one'
        )


def _paths(config):
    for name, path in (
        ('model_dir', config.run.model_dir),
        ('export_dir', config.exports.export_dir),
    ):
        if not _is_utf8(path):
            raise ConfigError(
                f'`{name}` must be UTF-8, as TensorFlow writes paths, got {path!r}'
            )
    # Stays as it is given, since a resumed run must have the same: a directory may be
    # mounted elsewhere.
    warm_start = config.model.warm_start.removesuffix(':best')
    if config.model.warm_start:
        expand_path(warm_start, '`warm_start`')


def _is_utf8(path):
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


_RULES: tuple[Callable[['Config'], None], ...] = (
    _syntax,
    _dataset,
    _regression,
    _network,
    _length,
    _batch,
    _class_balance,
    _hard_example_mining,
    _lookahead,
    _ftrl,
    _transfer,
    _test_time_augmentation,
    _warm_start,
    _paths,
)
