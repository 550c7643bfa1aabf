"""Settings of the loss, the optimizer and the learning rate schedule."""

import dataclasses

from estimator_clf.config.groups.setting import (
    SettingsGroup,
    above,
    at_least,
    fraction,
    from_to_below,
    setting,
)

#: Examples per step of a run that sets none and has at least so many.
DEFAULT_BATCH_SIZE = 128


@dataclasses.dataclass(frozen=True)
class OptimizerConfig(SettingsGroup):
    """How the weights are trained; see the fields' help texts."""

    TITLE = 'Optimization'

    optimizer: str = setting('adam', 'Optimizer; see the list below.')
    learning_rate: float = setting(
        0.001, 'Learning rate after warm-up.', check=above(0)
    )
    momentum: float = setting(
        0.9, 'For momentum, nesterov and muon.', check=from_to_below(0, 1)
    )
    schedule: str = setting(
        'constant', 'Schedule of the learning rate; see the list below.'
    )
    schedule_length: str = setting(
        '',
        'Steps or epochs (10epochs) that `schedule`, shares of `warmup` and '
        '`decay_at`, and `lookahead` refer to; after them the rate stays. Default: '
        'the length of the run, so that more `epochs` stretch the schedule of a '
        'resumed run.',
        changeable=True,
    )
    warmup: str = setting(
        '0', 'Linear warm-up: steps, epochs (1epochs) or a share of the run (5%).'
    )
    warmup_from: float = setting(
        0.0,
        'Fraction of the learning rate at which the warm-up starts.',
        check=from_to_below(0, 1),
    )
    decay_rate: float = setting(
        0.1, 'Factor of the schedules step and exponential.', check=above(0)
    )
    decay_at: str = setting(
        '50%,75%', 'Where the schedule step decays: steps, epochs or shares.'
    )
    decay_power: float = setting(
        1.0, 'Exponent of the schedule polynomial.', check=above(0)
    )
    end_learning_rate: float = setting(
        0.0, 'Final rate of the schedules polynomial and cosine.', check=at_least(0)
    )
    weight_decay: float = setting(
        0.0,
        'Decoupled for adamw and muon, L2 for the others; biases and batch norm are '
        'excluded.',
        check=at_least(0),
    )
    normalize_weights: bool = setting(
        False,
        'With muon: normalize each filter to a constant norm at each step; for '
        'networks with batch normalization, where the learning rate is then a relative '
        'change.',
    )
    clip_norm: float = setting(
        0.0, 'Maximum norm of the gradient; 0: no limit.', check=at_least(0)
    )
    loss: str = setting(
        'cross_entropy',
        'Training loss: softmax cross_entropy, or squared_error of sigmoids.',
        choices=('cross_entropy', 'squared_error'),
    )
    label_smoothing: float = setting(
        0.0, 'Smoothing of the training labels.', check=from_to_below(0, 1)
    )
    class_weights: str = setting(
        '',
        'Weights of classes in the loss by name: cat=1, dog=2.5; or balanced: examples '
        '/ (classes * examples of the class).',
    )
    batch_size: int | None = setting(
        None,
        f'Examples per step, over all devices. Default: {DEFAULT_BATCH_SIZE}, or all '
        'examples of a smaller split.',
        check=at_least(1),
    )
    hard_example_fraction: float = setting(
        1.0,
        'Train on this fraction of each batch only: the examples with the largest '
        'losses of a small network (`proxy`); 1: on all examples.',
        check=fraction,
    )
    proxy: str = setting(
        '',
        'Network that selects for `hard_example_fraction`, written as `network`.',
    )
    gradient_accumulation_steps: int = setting(
        1,
        'Number of micro-batches into which a batch is divided to save memory; their '
        'gradients are added.',
        check=at_least(1),
    )
    ema_decay: float = setting(
        0.0,
        'Decay of an exponential moving average of the weights, such as 0.999, which '
        'evaluation and export use; 0: no average.',
        check=from_to_below(0, 1),
    )
    lookahead: str = setting(
        '',
        'Lookahead: every=5, decay=0.95: every so many steps the weights are '
        'interpolated with their slow copies, which evaluation and export use.',
    )
    freeze: str = setting(
        '',
        'Patterns of the names of variables that are not trained: conv1, conv2.',
    )
    train_only: str = setting(
        '', 'Patterns of the only variables that are trained: logits.'
    )
    cache_features: bool = setting(
        False,
        'Compute the output of the frozen part of the network once per image, cache it '
        'in MODEL_DIR/features, and train the rest on it.',
    )
    lr_multipliers: str = setting(
        '',
        'Factors of the learning rate by patterns of variable names: conv=0.1, '
        'logits=10. The first pattern that matches counts.',
    )
    decay_multipliers: str = setting(
        '',
        'Factors of `weight_decay`, as `lr_multipliers`: norm/beta=0.5; 1 for biases, '
        'which decay only if they match here.',
    )
