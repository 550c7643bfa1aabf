"""Builds the model_fn and the serving decoder that the settings describe."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from estimator_clf.config import class_weights, parsers
from estimator_clf.config.config import Config
from estimator_clf.config.groups.optimizer import DEFAULT_BATCH_SIZE
from estimator_clf.config.model_options import network_options, proxy_options
from estimator_clf.core.call_syntax import parse_list
from estimator_clf.core.errors import ConfigError
from estimator_clf.core.intervals import in_steps
from input.dataset_info import DatasetInfo
from model_fns import registry

if TYPE_CHECKING:
    from input.images.batch_decoder import BatchDecoder
    from input.sources.base import DataSource
    from model_fns.optimizers.config import OptimizerSpec


def build_model_fn(
    config: Config,
    info: DatasetInfo,
    total_steps: int | None = None,
    learning_rate_scale: float = 1.0,
) -> Callable:
    """Builds the model_fn of a run.

    Args:
      config: settings of the run.
      info: description of its data.
      total_steps: length of the run, for schedules; by default that of the settings.
      learning_rate_scale: factor of all learning rates, after rollbacks.

    Returns:
      `model_fn(features, labels, mode) -> EstimatorSpec`, see `make_model_fn`.

    Raises:
      SettingError, ConfigError: invalid settings of the network or the optimizer.
    """
    # Here, because they import TensorFlow.
    from estimator_clf.core.hardware import mixed_precision
    from model_fns.heads.test_time_augmentation import check_size
    from model_fns.model_fn import make_model_fn
    from model_fns.specs import HeadSpec, ModelSpec, RuntimeSpec

    optimization, hardware = config.optimization, config.hardware
    dtype = mixed_precision.resolve(hardware.precision)
    size = info.num_examples.get(config.data.train_split) or config.batch_size
    eval_views = parsers.parse_eval_tta(config.evaluation.eval_tta)
    if eval_views and info.image_shape:
        check_size(eval_views[1], *info.image_shape[:2])

    optimizer = build_optimizer_spec(config, size, total_steps, learning_rate_scale)
    model = ModelSpec(
        config.network_call.name,
        network_args=network_options(config),
        num_classes=info.num_classes,
        class_names=info.class_names or None,
        mean=info.mean,
        stddev=info.stddev,
    )
    head = HeadSpec(
        loss=optimization.loss,
        label_smoothing=optimization.label_smoothing,
        class_weights=class_weights.in_order(
            optimization.class_weights, info.class_names
        ),
        eval_samples=config.evaluation.eval_samples,
        eval_views=eval_views,
        export_views=config.exports.export_tta,
        hard_example_fraction=optimization.hard_example_fraction,
        proxy=config.proxy_call.name if config.proxy_call else None,
        proxy_args=proxy_options(config),
    )
    runtime = RuntimeSpec(
        seed=config.run.seed,
        compute_dtype=dtype,
        eval_dtype=mixed_precision.resolve(hardware.eval_precision),
        gradient_accumulation_steps=optimization.gradient_accumulation_steps,
        xla=hardware.xla,
        conv_gradients=mixed_precision.conv_gradients(hardware.conv_gradients, dtype),
    )
    return make_model_fn(model, head, optimizer, runtime)


def build_optimizer_spec(
    config: Config,
    num_examples: int,
    total_steps: int | None = None,
    learning_rate_scale: float = 1.0,
) -> 'OptimizerSpec':
    """Builds the specification of the optimizer and its learning rate schedule.

    Args:
      config: settings of the run.
      num_examples: number of training examples.
      total_steps: length of the run; by default that of the settings. The schedule has
        this length unless `schedule_length` is set.
      learning_rate_scale: factor of all learning rates.

    Raises:
      SettingError, ConfigError: invalid settings.
    """
    from model_fns.optimizers.config import OptimizerSpec

    optimization = config.optimization
    if optimization.schedule_length or not total_steps:
        total_steps = config.schedule_steps(num_examples)
    steps_per_epoch = num_examples / config.batch_size

    def steps(text, name):
        return in_steps(text, name, steps_per_epoch, total_steps)

    return OptimizerSpec(
        name=optimization.optimizer,
        learning_rate=optimization.learning_rate * learning_rate_scale,
        momentum=optimization.momentum,
        weight_decay=optimization.weight_decay,
        normalize_weights=optimization.normalize_weights,
        clip_norm=optimization.clip_norm,
        schedule=optimization.schedule,
        warmup_steps=steps(optimization.warmup, 'warmup'),
        warmup_from=optimization.warmup_from,
        total_steps=total_steps,
        decay_rate=optimization.decay_rate,
        boundaries=tuple(
            steps(part, 'decay_at')
            for part in parse_list(optimization.decay_at, 'decay_at')
        )
        if optimization.schedule == 'step'
        else (),
        power=optimization.decay_power,
        end_learning_rate=optimization.end_learning_rate * learning_rate_scale,
        ema_decay=optimization.ema_decay,
        lookahead=parsers.parse_lookahead(optimization.lookahead),
        freeze=parsers.parse_patterns(optimization.freeze, 'freeze'),
        train_only=parsers.parse_patterns(optimization.train_only, 'train_only'),
        lr_multipliers=parsers.parse_multipliers(
            optimization.lr_multipliers, 'lr_multipliers'
        ),
        decay_multipliers=parsers.parse_multipliers(
            optimization.decay_multipliers, 'decay_multipliers'
        ),
    )


def build_decoder(config: Config, info: DatasetInfo) -> 'BatchDecoder | None':
    """Builds the decoder of encoded images in an exported model.

    Args:
      config: settings of the run.
      info: description of its data.

    Returns:
      An `input.images.batch_decoder.BatchDecoder`; None for regression.

    Raises:
      ConfigError: the export would refuse images of the network's own size.
    """
    if not info.class_names:
        return None
    from input.images.batch_decoder import BatchDecoder
    from input.images.decode import central_window

    height, width, channels = info.image_shape
    max_pixels = config.data.max_image_pixels
    if config.exports.export and max_pixels < height * width:
        raise ConfigError(
            f'`max_image_pixels` must be at least {height * width}, the {height} x '
            f'{width} pixels of the network input, got {max_pixels}'
        )
    return BatchDecoder(
        size=(height, width),
        channels=channels,
        window=central_window(config.data.eval_crop, width / height),
        max_pixels=max_pixels,
    )


def published_weights(config: Config) -> Any:
    """Returns the network in weight files, see `registry.published`."""
    return registry.published(config.network_call.name, network_options(config))


def _default_batch_size(config, source, replicas):
    """128, or all examples of a smaller split, in equal parts."""
    parts = replicas * config.optimization.gradient_accumulation_steps
    examples = source.num_examples.get(config.data.train_split, DEFAULT_BATCH_SIZE)
    size = min(DEFAULT_BATCH_SIZE, examples)
    return max(size - size % parts, parts)


def resolve_auto(
    config: Config,
    source: 'DataSource',
    replicas: int = 1,
    resumed: Config | None = None,
) -> Config:
    """Replaces settings that depend on the data or the machine by their values.

    `config.json` then records what the run did, and a resumed run is refused where
    the same word would mean something else.

    Args:
      config: settings of the run.
      source: its `DataSource`.
      replicas: number of devices.
      resumed: settings of the run that is resumed, whose batch size is the default.

    Raises:
      ConfigError, DataError: class weights that cannot be balanced.
    """
    from estimator_clf.core.hardware import mixed_precision

    weights = config.optimization.class_weights
    if weights == 'balanced':
        counts = source.class_counts(config.data.train_split)
        weights = class_weights.balanced(counts.tolist(), source.class_names)
    return config.replace(
        batch_size=config.optimization.batch_size
        or (resumed and resumed.optimization.batch_size)
        or _default_batch_size(config, source, replicas),
        precision=mixed_precision.resolve(config.hardware.precision),
        eval_precision=mixed_precision.resolve(config.hardware.eval_precision),
        class_weights=weights,
        warm_start=config.model.warm_start
        or registry.weights(config.network_call.name, network_options(config)),
    )
