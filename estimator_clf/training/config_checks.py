"""Refuses settings that cannot be, at once, without TensorFlow."""

from estimator_clf.config.config import Config
from estimator_clf.core import variable_patterns
from estimator_clf.core.errors import ConfigError
from estimator_clf.training.factory import network_args, proxy_args
from input import FORMATS
from model_fns import registry
from model_fns.optimizers.config import parse_lookahead, parse_views


def check(config):
    """Checks what of the settings can be checked before anything is opened.

    Args:
      config: `Config`, which has checked what needs no formats and networks.

    Raises:
      SettingError, ConfigError, DataError: something that cannot be.
    """
    parse_lookahead(config.lookahead)
    parse_views(config.eval_tta)
    variable_patterns.parse_patterns('freeze', config.freeze)
    variable_patterns.parse_patterns('train_only', config.train_only)
    for name in ('lr_multipliers', 'decay_multipliers'):
        variable_patterns.parse_multipliers(f'`{name}`', getattr(config, name))
    FORMATS.facts(config.dataset.partition(':')[0])
    _check_regression(config, registry.head(config.network) == 'regression')
    _check_network(config)
    _check_first_weights(config, network_args(config))
    _check_proxy(config, proxy_args(config))


# What of the optimizer's settings only some of the optimizers and schedules read.
_READ_BY = {
    'momentum': ('optimizer', ('momentum', 'nesterov', 'muon')),
    'decay_at': ('schedule', ('step',)),
    'decay_rate': ('schedule', ('step', 'exponential')),
    'decay_power': ('schedule', ('polynomial',)),
    'end_learning_rate': ('schedule', ('polynomial', 'cosine')),
}


def unused_settings(config):
    """Lists, in words, the settings that do nothing beside others.

    No mistakes: who takes another optimizer than a flagfile need not mind all the rest
    of it.

    Args:
      config: `Config`.
    """
    usual, words = Config(), []
    for name, (by, readers) in _READ_BY.items():
        value, chosen = getattr(config, name), getattr(config, by)
        if value != getattr(usual, name) and chosen not in readers:
            words.append(
                f'`{name}={value}` does nothing with `{by}={chosen}`; it is for '
                + ', '.join(readers)
            )
    if config.warmup_from != usual.warmup_from and config.warmup == usual.warmup:
        value = config.warmup_from
        words.append(f'`warmup_from={value}` does nothing without `warmup`')
    return words


def _check_regression(config, regression):
    numbers = config.dataset.partition(':')[0] == 'csv'
    if regression != numbers:
        raise ConfigError(
            f'`network={config.network}` and `dataset={config.dataset}` do not go '
            'together: numbers (csv) are for linear_regression, images for the others'
        )
    for name in ('cache_features', 'class_weights', 'label_smoothing', 'proxy'):
        if numbers and getattr(config, name):
            raise ConfigError(f'`{name}` is for images, not for numbers (csv)')


def _check_network(config):
    if config.eval_samples > 1 and not registry.random(config.network):
        raise ConfigError(
            f'`eval_samples={config.eval_samples}`: nothing in '
            f'`network={config.network}` is random outside of training, so all passes would be '
            'the same; leave the flag out (fmp is a network that gains by it)'
        )
    if config.optimizer == 'ftrl' and not config.network.startswith('linear'):
        raise ConfigError(
            '`optimizer=ftrl` is for `network=linear` and linear_regression: it begins '
            f'with all weights at 0, from where {config.network} learns nothing'
        )


def _check_first_weights(config, args):
    if not config.warm_start:
        return
    if str(args.get('name', '')).startswith('EfficientNetB'):
        # Of which there are two, with a layer more that has no weights, and without.
        if 'weights' not in args:
            raise ConfigError(
                f'`warm_start` with {args["name"]}: say in `network_args` whether its '
                "first weights were Keras's for ImageNet (weights=imagenet: images "
                'are rescaled for them) or not (weights=none)'
            )
    elif args.get('weights', 'none') != 'none':
        raise ConfigError(
            f'`warm_start={config.warm_start}` and `network_args=weights=`'
            f'{args["weights"]} both name the first weights; give one of them'
        )


def _check_proxy(config, args):
    if config.proxy and registry.weights(config.proxy, args):
        raise ConfigError(
            f'`proxy={config.proxy}` begins with no published weights: give it '
            '`proxy_args=weights=none`, or take a smaller network, which is the point'
        )
