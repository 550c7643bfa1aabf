"""From settings to the three things that a run is made of."""

import dataclasses
import os

from estimator_clf.config import config as configuration
from estimator_clf.config.config import Config
from estimator_clf.core.errors import ConfigError
from estimator_clf.core.intervals import in_steps

# Settings of the group "Data" that say how to read, not what.
_NOT_OPTIONS = (
    'dataset',
    'data_dir',
    'augment',
    'sampling',
    'cache',
    'eval_crop',
    'max_corrupt_images',
    'train_split',
    'classes',
    'exclude_classes',
    'examples_per_class',
)


def open_source(config, info=None):
    """Opens the dataset that the settings name.

    Args:
      config: `Config`.
      info: `DatasetInfo` of an earlier run, whose pixel statistics are kept.

    Returns:
      An `input.sources.base.DataSource`.
    """
    from input import open_dataset
    from input.sampling.subset import Subset

    selection = Subset(
        classes=_names(config.classes),
        exclude=_names(config.exclude_classes),
        per_class=config.examples_per_class,
        split=config.train_split,
        seed=config.seed,
    )
    source = open_dataset(**source_args(config), selection=selection, info=info)
    source.set_cache(config.cache)
    return source


def open_directory(config, source, directory):
    """Opens another directory of images of the same classes, to evaluate on."""
    config = dataclasses.replace(
        config, data_dir=directory, validation_split=0.0, examples_per_class=None
    )
    return open_source(config, source.info)


def source_args(config):
    """Returns the arguments of `input.open_dataset` that the settings say."""
    options = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(Config)
        if field.metadata['group'] == 'Data' and field.name not in _NOT_OPTIONS
    }
    options['validation_split'] = config.validation_split or None
    if config.dataset.startswith('tfds:'):  # Whose splits may be slices.
        options['train_split'] = config.train_split
        options['eval_split'] = config.eval_split
    return dict(options, name=config.dataset, data_dir=config.data_dir or None)


def resolve_auto(config, source):
    """Returns the settings with what follows from data and machine put in their place.

    `config.json` then says what the run did, and a run that goes on is refused where
    the same word would mean something else.

    Args:
      config: `Config`.
      source: an `input.sources.base.DataSource`.

    Raises:
      ConfigError, DataError: class weights that cannot be balanced.
    """
    from estimator_clf.core import mixed_precision

    weights = config.class_weights
    if weights == 'balanced':
        counts = source.class_counts(config.train_split)
        weights = ','.join(f'{w:.6g}' for w in balanced(counts, source.class_names))
    return dataclasses.replace(
        config,
        precision=mixed_precision.resolve(config.precision),
        eval_precision=mixed_precision.resolve(config.eval_precision),
        class_weights=weights,
        warm_start=config.warm_start or network_weights(config),
    )


def network_args(config):
    """Returns `network_args`, parsed: dict name -> value."""
    from model_fns import registry

    return registry.parse_args(config.network, config.network_args)


def proxy_args(config):
    """Returns `proxy_args`, parsed: dict name -> value."""
    from estimator_clf.core.errors import for_argument
    from model_fns import registry

    if not config.proxy:
        return {}
    with for_argument('proxy'):
        return registry.parse_args(config.proxy, config.proxy_args)


def network_weights(config):
    """Returns the source of the weights that the network's own settings name, or ''."""
    from model_fns import registry

    return registry.weights(config.network, network_args(config))


def balanced(counts, names):
    """Returns weights in which all classes count the same, with a mean of 1.

    `examples / (classes * examples of the class)`, as scikit-learn's
    `compute_class_weight('balanced')`.

    Args:
      counts: examples of each class.
      names: of the classes.

    Raises:
      ConfigError: a class has no example.
    """
    for name, count in zip(names, counts, strict=True):
        if not count:
            raise ConfigError(
                f'`class_weights=balanced`: the class {name!r} has no example to train '
                'on; give the weights as numbers'
            )
    return [float(sum(counts)) / (len(counts) * float(count)) for count in counts]


def pretrained_weights(config):
    """Returns what Keras's files know of the network, see `registry.published`."""
    from model_fns import registry

    return registry.published(config.network, network_args(config))


def model_fn_maker(config):
    """Returns a function (DatasetInfo, total steps, rate=1) -> model_fn.

    Without total steps they are those that the settings say.
    """

    def make(info, total_steps=None, rate=1.0):
        from estimator_clf.core import mixed_precision, variable_patterns
        from model_fns.heads.test_time_augmentation import check_size
        from model_fns.model_fn import make_model_fn
        from model_fns.optimizers.config import (
            OptimizerSpec,
            parse_lookahead,
            parse_views,
        )

        dtype = mixed_precision.resolve(config.precision)
        size = info.num_examples.get(config.train_split) or config.batch_size
        total_steps = total_steps or config.total_steps(size)
        per_epoch = size / config.batch_size
        eval_views = parse_views(config.eval_tta)
        if eval_views and info.image_shape:
            check_size(eval_views[1], *info.image_shape[:2])

        def steps(text, flag):
            return in_steps(text, flag, per_epoch, total_steps)

        optimizer = OptimizerSpec(
            name=config.optimizer,
            learning_rate=config.learning_rate * rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            normalize_weights=config.normalize_weights,
            clip_norm=config.clip_norm,
            schedule=config.schedule,
            warmup_steps=steps(config.warmup, 'warmup'),
            warmup_from=config.warmup_from,
            total_steps=total_steps,
            decay_rate=config.decay_rate,
            boundaries=tuple(
                steps(part, 'decay_at') for part in config.decay_at.split(',')
            )
            if config.schedule == 'step'
            else (),
            power=config.decay_power,
            end_learning_rate=config.end_learning_rate * rate,
            ema_decay=config.ema_decay,
            lookahead=parse_lookahead(config.lookahead),
            freeze=variable_patterns.parse_patterns('freeze', config.freeze),
            train_only=variable_patterns.parse_patterns(
                'train_only', config.train_only
            ),
            lr_multipliers=variable_patterns.parse_multipliers(
                'lr_multipliers', config.lr_multipliers
            ),
            decay_multipliers=variable_patterns.parse_multipliers(
                'decay_multipliers', config.decay_multipliers
            ),
        )
        return make_model_fn(
            config.network,
            num_classes=info.num_classes,
            class_names=info.class_names or None,
            mean=info.mean,
            stddev=info.stddev,
            network_args=network_args(config),
            optimizer=optimizer,
            label_smoothing=config.label_smoothing,
            class_weights=_class_weights(config.class_weights),
            loss=config.loss,
            eval_samples=config.eval_samples,
            eval_views=eval_views,
            export_views=config.export_tta,
            seed=config.seed,
            compute_dtype=dtype,
            eval_dtype=mixed_precision.resolve(config.eval_precision),
            gradient_accumulation_steps=config.gradient_accumulation_steps,
            xla=config.xla,
            conv_gradients=mixed_precision.conv_gradients(config.conv_gradients, dtype),
            hard_example_fraction=config.hard_example_fraction,
            proxy=config.proxy or None,
            proxy_args=proxy_args(config),
        )

    return make


def make_decoder(config, info):
    """Returns what `export_saved_model` decodes with, or None (regression).

    Raises:
      ConfigError: the export would refuse images of the network's own size.
    """
    if not info.class_names:
        return None
    from input.images.batch_decoder import BatchDecoder
    from input.images.decode import central_window

    height, width, channels = info.image_shape
    if config.export and config.max_pixels < height * width:
        raise ConfigError(
            f'`max_pixels` must be at least {height * width}, the {height} x {width} '
            f'pixels that the network looks at, got {config.max_pixels}'
        )
    return BatchDecoder(
        size=(height, width),
        channels=channels,
        window=central_window(config.eval_crop, width / height),
        max_pixels=config.max_pixels,
    )


def load_config(model_dir, **instead):
    """Reads the settings of a run.

    Args:
      model_dir: its directory.
      **instead: settings that take the place of those, unless None or ''.

    Raises:
      ConfigError: there are none, or one that cannot be.
    """
    wanted = {name: v for name, v in instead.items() if v not in (None, '')}
    if wanted.get('eval_tta') == 'none':  # Nor is there anything left to export then.
        wanted.setdefault('export_tta', False)
    # Whoever asks reads the images once: to keep them, or what a part of the network
    # makes of them, would gain nothing.
    wanted.update(cache='none', cache_features=False)
    return dataclasses.replace(configuration.load(model_dir), **wanted)


def load_info(model_dir):
    """Reads the `DatasetInfo` that a run left in its model_dir.

    Raises:
      ConfigError: there is none, or it is corrupt.
    """
    from estimator_clf.checkpoints import dataset_json

    try:
        return dataset_json.load(model_dir)
    except FileNotFoundError as error:
        raise ConfigError(
            f'`model_dir` must be the directory of a run, but {error.filename} is missing'
        ) from None


def checkpoint_of(model_dir, checkpoint=''):
    """Returns the checkpoint asked for: a path, a step, 'best', or the latest.

    Raises:
      ConfigError: there is no such checkpoint.
    """
    import tensorflow as tf

    from estimator_clf.checkpoints.listing import (
        latest_checkpoint,
        names_of_checkpoints,
    )

    if not checkpoint:
        path = latest_checkpoint(model_dir)
        if not path:
            raise ConfigError(f'`model_dir={model_dir}` has no checkpoint')
        return path
    path = checkpoint
    if checkpoint == 'best':
        from estimator_clf.checkpoints.best import best_checkpoint

        path = best_checkpoint(model_dir)
        if not path:
            raise ConfigError(
                f'`checkpoint=best`: {model_dir} has none; the run had `keep_best=0`, '
                'no evaluation, or none but of a test split, by which nothing is chosen'
            )
        return path
    if checkpoint.isdigit():
        path = os.path.join(model_dir, f'model.ckpt-{checkpoint}')
    path = path.removesuffix('.index')
    if os.path.dirname(path) == '' and not os.path.exists(path + '.index'):
        path = os.path.join(model_dir, path)  # As the list below names them.
    if not tf.compat.v1.train.checkpoint_exists(path):
        raise ConfigError(
            f'`checkpoint={checkpoint}`: there is no {path}. There are: '
            + (', '.join(names_of_checkpoints(model_dir)) or 'none')
        )
    return path


def _names(text):
    return tuple(filter(None, (part.strip() for part in text.split(','))))


def _class_weights(text):
    if not text:
        return None
    try:
        return tuple(float(part) for part in text.split(','))
    except ValueError:
        raise ConfigError(
            "`class_weights` must be numbers between commas, or 'balanced', got "
            f'{text!r}'
        ) from None
