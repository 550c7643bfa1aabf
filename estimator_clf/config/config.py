"""All settings of a run: one frozen dataclass, checked in one place, saved as JSON.

A field is also a flag of the same name (`launch.flags` makes them), so that the name,
the default, the explanation and the check are written once, here.
"""

import dataclasses
import glob
import json
import math
import os

from estimator_clf.config import early_stopping
from estimator_clf.config.metric_goal import MODES
from estimator_clf.config.warm_start_rules import WarmStartRules
from estimator_clf.core import intervals
from estimator_clf.core.errors import ConfigError

FILE_NAME = 'config.json'


def _setting(default, group, text, *, check=None, choices=None, free=False):
    """Declares a setting.

    Args:
      default: its default, whose type is the flag's; None is an optional int.
      group: heading in `--help`.
      text: explanation in `--help`.
      check: function of the value that returns what must hold, or None if it does.
      choices: the values there are.
      free: may differ when a run goes on in an old model_dir.
    """
    facts = {'group': group, 'help': text, 'check': check, 'choices': choices}
    return dataclasses.field(default=default, metadata={**facts, 'free': free})


def _at_least(low):
    return lambda x: _finite(x) if x is None or x >= low else f'must be at least {low}'


def _above(low):
    return lambda x: _finite(x) if x > low else f'must be above {low}'


def _finite(x):
    return 'must be finite' if x == math.inf else None


def _between(low, high):
    return lambda x: None if low <= x < high else f'must be from {low} to below {high}'


def _channels(x):
    return None if x in (None, 1, 3) else 'must be 1 or 3'


def _inside_0_1(x):
    return None if 0 < x < 1 else 'must be above 0 and below 1'


def _share(x):
    return None if 0 < x <= 1 else 'must be above 0 and at most 1'


def _steps_per_loop(x):
    fits = x == 'auto' or (x.isdecimal() and int(x) >= 1)
    return None if fits else "must be 'auto' or a whole number of at least 1"


_DATA = 'Data'
_NETWORK = 'Network'
_OPTIMIZATION = 'Optimization'
_RUN = 'Run'
_EVALUATION = 'Evaluation and export'
_HARDWARE = 'Hardware'


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings of one training run; see the fields' explanations.

    Raises:
      ConfigError: a value that cannot be, when the object is made.
    """

    dataset: str = _setting(
        'digits', _DATA, 'Which format or dataset; see the list below.'
    )
    data_dir: str = _setting('', _DATA, 'Directory (or file) of the data.', free=True)
    image_size: str = _setting(
        '',
        _DATA,
        'Pixels, or HEIGHTxWIDTH. Default: the size of the images, 64 if it varies.',
    )
    channels: int = _setting(
        None,
        _DATA,
        '1 for gray, 3 for color. Default: as the images.',
        check=_channels,
    )
    validation_split: float = _setting(
        0.0,
        _DATA,
        'Share of the training examples to hold out for validation.',
        check=_between(0, 1),
    )
    train_split: str = _setting(
        'train', _DATA, 'Split to train on; for tfds also a slice: train[:80%].'
    )
    label_pattern: str = _setting(
        '', _DATA, "image_folder: class in the file's name, such as '(cat|dog)\\.'."
    )
    cifar100_labels: str = _setting('', _DATA, 'cifar100: fine (default) or coarse.')
    idx_prefix: str = _setting('', _DATA, "idx: which set, such as 'emnist-letters-'.")
    compression: str = _setting('', _DATA, 'tfrecord: GZIP or ZLIB; default: look.')
    image_key: str = _setting('', _DATA, 'tfrecord: feature of the image.')
    label_key: str = _setting('', _DATA, 'tfrecord: feature of the label.')
    text_key: str = _setting('', _DATA, "tfrecord: feature of the class's name.")
    label_offset: int = _setting(
        None, _DATA, 'tfrecord: number of the first class in the records (ImageNet: 1).'
    )
    shuffle_buffer: int = _setting(
        None, _DATA, 'tfrecord, tfds: records in the shuffle buffer.'
    )
    classes: str = _setting(
        '', _DATA, 'Keep these classes only, names between commas: cat,dog.'
    )
    exclude_classes: str = _setting('', _DATA, 'Classes to leave out: cat,dog.')
    examples_per_class: int = _setting(
        None,
        _DATA,
        'Keep so many training examples of each class, chosen by `seed`; the other '
        'splits keep theirs.',
        check=_at_least(1),
    )
    augment: str = _setting(
        '',
        _DATA,
        'Augmentation, in order: flip, alternating_flip, vflip, crop:PIXELS, '
        'zoom:SHARE, rotate:DEGREES, resized_crop:AREA, brightness:SHARE, '
        'contrast:SHARE, saturation:SHARE, cutout:SIDE, cutout_inside:SIDE, '
        'randaugment:OPSxMAGNITUDE; then mixup:ALPHA, cutmix:ALPHA.',
    )
    sampling: str = _setting(
        'natural',
        _DATA,
        'How often training draws a class: natural: as it occurs; balanced: each '
        'equally often; sqrt: by the square root of its examples. Not for records.',
        choices=('natural', 'balanced', 'sqrt'),
    )
    max_corrupt_images: int = _setting(
        10,
        _DATA,
        'How many images that cannot be read are left out, and named, before the run '
        'stops; 0: it stops at the first.',
        check=_at_least(0),
        free=True,
    )
    cache: str = _setting(
        'none',
        _DATA,
        'image_folder: what stays in memory after the first time: none; encoded: the '
        'bytes of the files (slow disks); decoded: the pixels, of which each epoch '
        'then has the same.',
        choices=('none', 'encoded', 'decoded'),
        free=True,
    )
    eval_crop: float = _setting(
        1.0,
        _DATA,
        'Share of the largest middle window that evaluation and serving keep.',
        check=_share,
    )

    network: str = _setting('cnn', _NETWORK, 'Which network; see the list below.')
    network_args: str = _setting(
        '', _NETWORK, "Its settings: 'hidden=256x128,dropout=0.5'; see the list below."
    )
    warm_start: str = _setting(
        '',
        _NETWORK,
        'Weights to begin with: a checkpoint, the directory of a run (its latest; its '
        'best with :best behind it), a SavedModel, or a Keras file (.h5, .keras).',
    )
    warm_start_include: str = _setting(
        '',
        _NETWORK,
        "`warm_start`: patterns of the new network's variables to restore: "
        'conv1,conv2. Default: all that have the same name and shape.',
    )
    warm_start_exclude: str = _setting(
        '', _NETWORK, '`warm_start`: patterns of those that begin fresh: logits.'
    )
    warm_start_map: str = _setting(
        '',
        _NETWORK,
        '`warm_start`: changes names of the source as re.sub does: ^vgg/=cnn/,FROM=TO.',
    )

    optimizer: str = _setting('adam', _OPTIMIZATION, 'Which optimizer; see below.')
    learning_rate: float = _setting(
        0.001, _OPTIMIZATION, 'Learning rate after warm-up.', check=_above(0)
    )
    momentum: float = _setting(
        0.9, _OPTIMIZATION, 'Of momentum, nesterov and muon.', check=_between(0, 1)
    )
    schedule: str = _setting('constant', _OPTIMIZATION, 'Of the learning rate.')
    warmup: str = _setting(
        '0', _OPTIMIZATION, 'Linear warm-up: steps, epochs (1epochs) or share (5%).'
    )
    warmup_from: float = _setting(
        0.0,
        _OPTIMIZATION,
        'Share of the learning rate with which the warm-up begins.',
        check=_between(0, 1),
    )
    decay_rate: float = _setting(
        0.1, _OPTIMIZATION, 'Of the schedules step and exponential.', check=_above(0)
    )
    decay_at: str = _setting(
        '50%,75%', _OPTIMIZATION, 'Where the schedule step decays: steps, epochs, %.'
    )
    decay_power: float = _setting(
        1.0, _OPTIMIZATION, 'Of the schedule polynomial.', check=_above(0)
    )
    end_learning_rate: float = _setting(
        0.0, _OPTIMIZATION, 'Of polynomial and cosine.', check=_at_least(0)
    )
    weight_decay: float = _setting(
        0.0,
        _OPTIMIZATION,
        'Decoupled for adamw and muon, L2 for the others; biases and batch norm left '
        'out.',
        check=_at_least(0),
    )
    normalize_weights: bool = _setting(
        False,
        _OPTIMIZATION,
        'With muon, bring filters back to one size at each step; for networks with '
        'batch normalization, where the learning rate is then a relative change.',
    )
    clip_norm: float = _setting(
        0.0, _OPTIMIZATION, 'Largest norm of the gradient; 0: any.', check=_at_least(0)
    )
    loss: str = _setting(
        'cross_entropy',
        _OPTIMIZATION,
        'What training makes small: the cross_entropy of a softmax, or the '
        'squared_error of sigmoids.',
        choices=('cross_entropy', 'squared_error'),
    )
    label_smoothing: float = _setting(
        0.0, _OPTIMIZATION, 'Of the training labels.', check=_between(0, 1)
    )
    class_weights: str = _setting(
        '',
        _OPTIMIZATION,
        'Weight of each class in the loss: 1,2.5,1 in their order; or balanced: '
        'examples / (classes * examples of the class).',
    )
    batch_size: int = _setting(
        128,
        _OPTIMIZATION,
        'Examples per step, all devices together.',
        check=_at_least(1),
    )
    hard_example_fraction: float = _setting(
        1.0,
        _OPTIMIZATION,
        'Train on this share of each batch alone, on the examples that a small network '
        'beside it (`proxy`) finds hardest; 1: on all of them.',
        check=_share,
    )
    proxy: str = _setting(
        '',
        _OPTIMIZATION,
        'The network that chooses for `hard_example_fraction`; see the list below.',
    )
    proxy_args: str = _setting('', _OPTIMIZATION, 'Its settings, as `network_args`.')
    gradient_accumulation_steps: int = _setting(
        1,
        _OPTIMIZATION,
        'Send the batch through the network in so many parts, one after the other, and '
        'add up their gradients: takes less memory.',
        check=_at_least(1),
    )
    ema_decay: float = _setting(
        0.0,
        _OPTIMIZATION,
        'Evaluate and export an exponential moving average of the weights, with this '
        'decay, such as 0.999; 0: the weights themselves.',
        check=_between(0, 1),
    )
    lookahead: str = _setting(
        '',
        _OPTIMIZATION,
        'Lookahead, STEPS:DECAY such as 5:0.95: every so many steps, weights that '
        'follow slowly and the trained ones meet; evaluate and export the slow ones.',
    )
    freeze: str = _setting(
        '',
        _OPTIMIZATION,
        'Patterns of the names of variables that are not trained: conv1,conv2.',
    )
    cache_features: bool = _setting(
        False,
        _OPTIMIZATION,
        'Send each image through the frozen part of the network once, keep what '
        'comes out in MODEL_DIR/features, and train the rest on that.',
    )
    train_only: str = _setting(
        '',
        _OPTIMIZATION,
        'Patterns of the only variables that are trained: logits.',
    )
    lr_multipliers: str = _setting(
        '',
        _OPTIMIZATION,
        'Multiply the learning rate of variables with such names: conv:0.1,logits:10. '
        'The first pattern that is found in a name counts.',
    )
    decay_multipliers: str = _setting(
        '',
        _OPTIMIZATION,
        'Multiply `weight_decay`, also: norm/beta:0.5; 1 for biases, which decay '
        'only if they are named here.',
    )

    model_dir: str = _setting(
        '', _RUN, 'Where the run lives. Default: runs/DATASET-NETWORK.', free=True
    )
    epochs: float = _setting(
        0.0,
        _RUN,
        'Length of the run. Default (0): 10, unless `max_steps` is given.',
        check=_at_least(0),
        free=True,
    )
    max_steps: int = _setting(
        None,
        _RUN,
        'Length in steps, instead of `epochs`.',
        check=_at_least(1),
        free=True,
    )
    resume: str = _setting(
        'auto',
        _RUN,
        'With checkpoints in MODEL_DIR: auto: go on from them; never: refuse; '
        'must: refuse if there are none.',
        choices=('auto', 'never', 'must'),
        free=True,
    )
    seed: int = _setting(
        0, _RUN, 'Of weights, order, augmentation and dropout.', check=_at_least(0)
    )
    log_every: str = _setting(
        '', _RUN, 'Interval of the metrics. Default: an epoch, 100 steps at most.'
    )
    save_every: str = _setting(
        '1epochs', _RUN, 'Interval of the checkpoints.', free=True
    )
    keep_checkpoints: int = _setting(
        5, _RUN, 'How many of the latest to keep.', check=_at_least(1), free=True
    )
    max_rollbacks: int = _setting(
        0,
        _RUN,
        'How often to go back to the last checkpoint and on with a smaller learning '
        'rate when the loss is not finite; 0: stop.',
        check=_at_least(0),
        free=True,
    )
    rollback_factor: float = _setting(
        0.5,
        _RUN,
        'What the learning rate is multiplied with each time.',
        check=_inside_0_1,
        free=True,
    )
    histograms: bool = _setting(
        False, _RUN, 'Write histograms of the weights for TensorBoard.', free=True
    )
    profile: str = _setting(
        '',
        _RUN,
        "Steps to record for TensorBoard's profiler, such as 100:120.",
        free=True,
    )
    record_keys: bool = _setting(
        False,
        _RUN,
        'Write the keys of the examples of each step to keys.jsonl.',
        free=True,
    )

    eval_every: str = _setting(
        '1epochs', _EVALUATION, 'Interval of evaluation; 0: at the end only.', free=True
    )
    eval_split: str = _setting(
        '',
        _EVALUATION,
        'Split to evaluate on while training. Default: validation, or else test.',
        free=True,
    )
    extra_eval_sets: str = _setting(
        '',
        _EVALUATION,
        'More to evaluate while training: [NAME=]SPLIT[@DIR][:INTERVAL] between '
        'commas; DIR holds other images of the same classes. Such as '
        'fit=train:5epochs,phone=@photos/phone:1epochs.',
        free=True,
    )
    eval_plots: bool = _setting(
        True,
        _EVALUATION,
        'Confusion matrix, worst mistakes, tables and precision-recall curves for '
        'TensorBoard, at each evaluation.',
        free=True,
    )
    projector: int = _setting(
        0,
        _EVALUATION,
        "How many examples to show in TensorBoard's projector, by what the last "
        'layer is given.',
        check=_at_least(0),
        free=True,
    )
    eval_samples: int = _setting(
        1,
        _EVALUATION,
        'Over how many passes to average what the network says, if it is one that is '
        'random (fmp); in evaluation and in the export.',
        check=_at_least(1),
    )
    eval_tta: str = _setting(
        '',
        _EVALUATION,
        'Test-time augmentation: evaluate the mean over mirror images (mirror) and '
        'images moved by some pixels (shift:PIXELS): mirror,shift:1.',
    )
    export_tta: bool = _setting(
        False,
        _EVALUATION,
        'Export models that do what `eval_tta` says; mirror,shift:1 costs six times '
        'the time for an image.',
        free=True,
    )
    best_metric: str = _setting(
        '',
        _EVALUATION,
        'What makes a checkpoint the best. Default: accuracy, or else loss.',
        free=True,
    )
    best_mode: str = _setting(
        'auto',
        _EVALUATION,
        "max, min, or auto: min for names with 'loss' or 'error' in them.",
        choices=MODES,
        free=True,
    )
    keep_best: int = _setting(
        1,
        _EVALUATION,
        'How many of the best checkpoints to keep, in MODEL_DIR/best; chosen by the '
        'validation split, never by the test split unless `eval_split` says so.',
        check=_at_least(0),
        free=True,
    )
    export_best: int = _setting(
        0,
        _EVALUATION,
        'Export each new best while training to EXPORT_DIR-best, and keep so many.',
        check=_at_least(0),
        free=True,
    )
    early_stopping: str = _setting(
        '',
        _EVALUATION,
        'Stop when `best_metric` has not become better for so long: 5evals, 2epochs.',
        free=True,
    )
    min_delta: float = _setting(
        0.0,
        _EVALUATION,
        'Less than this is not better, to `early_stopping`.',
        check=_at_least(0),
        free=True,
    )
    eval_batch_size: int = _setting(
        None, _EVALUATION, 'Default: `batch_size`.', check=_at_least(1), free=True
    )
    export: bool = _setting(
        True, _EVALUATION, 'Export a SavedModel at the end.', free=True
    )
    export_weights: str = _setting(
        'last',
        _EVALUATION,
        'Which weights that export has: last or best.',
        choices=('last', 'best'),
        free=True,
    )
    export_dir: str = _setting(
        '', _EVALUATION, 'Where to. Default: MODEL_DIR/export.', free=True
    )
    check_export: bool = _setting(
        True,
        _EVALUATION,
        'Compare each export with its checkpoint, in a fresh process, before a server '
        'can see it; takes some seconds.',
        free=True,
    )
    max_pixels: int = _setting(
        64_000_000,
        _EVALUATION,
        'Most pixels of an image that an exported model decodes: a few hundred bytes '
        'can claim gigabytes.',
        check=_at_least(1),
        free=True,
    )

    device: str = _setting(
        'auto',
        _HARDWARE,
        'auto, cpu or gpu.',
        choices=('auto', 'cpu', 'gpu'),
        free=True,
    )
    replicas: int = _setting(
        None,
        _HARDWARE,
        'Devices of this machine to train on together (MirroredStrategy). Default: '
        'every GPU, or one CPU.',
        check=_at_least(1),
        free=True,
    )
    precision: str = _setting(
        'float32',
        _HARDWARE,
        'What training computes in; weights and loss stay float32, so does what is '
        'exported. auto: what this machine does well.',
        choices=('float32', 'bfloat16', 'float16', 'auto'),
    )
    eval_precision: str = _setting(
        'float32',
        _HARDWARE,
        'What evaluation computes in; export and prediction stay float32.',
        choices=('float32', 'bfloat16', 'float16', 'auto'),
    )
    steps_per_loop: str = _setting(
        'auto',
        _HARDWARE,
        'The most training steps to take in one go; auto: up to the next checkpoint, '
        'evaluation or line of the log. After a second it ends in any case, to look '
        'for signals. Changes no result, only the speed.',
        check=_steps_per_loop,
        free=True,
    )
    conv_gradients: str = _setting(
        'auto',
        _HARDWARE,
        "Gradients of convolutions: TensorFlow's own (tensorflow), matrix products and "
        'forward convolutions (products), products only where images are small '
        '(small), or what suits this CPU (auto). The same within rounding.',
        choices=('auto', 'tensorflow', 'products', 'small'),
        free=True,
    )
    xla: bool = _setting(
        False,
        _HARDWARE,
        'Compile the training step. For GPUs: on a CPU, convolutions become slower.',
    )

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value, facts = getattr(self, field.name), field.metadata
            wrong = _wrong_type(field, value)
            wrong = wrong or (facts['check'] and facts['check'](value))
            if facts['choices'] and value not in facts['choices']:
                wrong = 'must be one of ' + ', '.join(facts['choices'])
            if wrong:
                raise ConfigError(f'`{field.name}` {wrong}, got {value!r}')
        for name in ('warmup', 'save_every', 'eval_every'):
            intervals.parse(getattr(self, name), name)
        if self.log_every:
            intervals.parse(self.log_every, 'log_every')
        early_stopping.parse_patience(self.early_stopping, 'early_stopping')
        intervals.step_range(self.profile, 'profile')
        parts = self.gradient_accumulation_steps * (self.replicas or 1)
        if self.gradient_accumulation_steps > 1 and self.batch_size % parts:
            raise ConfigError(
                f'`batch_size` must be a multiple of `gradient_accumulation_steps` (times '
                f'`replicas`), {parts}, got {self.batch_size}'
            )
        if self.class_weights == 'balanced' and self.sampling != 'natural':
            raise ConfigError(
                '`class_weights=balanced` and `sampling` both make rare classes count '
                'more; give one of them'
            )
        chosen = self.hard_example_fraction < 1
        if chosen != bool(self.proxy) or self.proxy_args and not chosen:
            raise ConfigError(
                '`hard_example_fraction` below 1 requires `proxy`, and `proxy` (with its '
                '`proxy_args`) requires `hard_example_fraction` below 1; got '
                f'`hard_example_fraction={self.hard_example_fraction:g}`, '
                f'`proxy={self.proxy}`, `proxy_args={self.proxy_args}`'
            )
        for name in ('class_weights', 'cache_features'):
            if self.proxy and getattr(self, name):
                raise ConfigError(
                    f'`hard_example_fraction` does not go together with `{name}`'
                )
        if self.lookahead and (self.replicas or 1) > 1:
            raise ConfigError(
                f'`lookahead` is for one device, not for `replicas={self.replicas}`; '
                '`ema_decay` is for several, too'
            )
        if self.optimizer == 'ftrl':
            # Its weights are a sum of gradients times the rate of the moment.
            for name in ('warmup', 'warm_start', 'max_rollbacks'):
                if getattr(self, name) != self.__dataclass_fields__[name].default:
                    raise ConfigError(
                        f'`optimizer=ftrl` begins with all weights at 0, and has them '
                        f'grow with the rate: without `{name}`'
                    )
            if self.schedule != 'constant':
                raise ConfigError(
                    '`optimizer=ftrl` has all weights shrink with the rate: take '
                    f'`schedule=constant`, not {self.schedule}'
                )
        views = self.eval_tta not in ('', 'none')
        if self.export_tta and not views:
            raise ConfigError('`export_tta` needs `eval_tta`, which says what to do')
        if views and self.cache_features:
            raise ConfigError('`eval_tta` does not go together with `cache_features`')
        self.warm_start_rules()
        if glob.escape(self.model_dir) != self.model_dir:
            raise ConfigError(
                '`model_dir` must not have any of * ? [ in it, where TensorFlow, which '
                'takes names of checkpoints for patterns, would not find them; got '
                f'{self.model_dir!r}'
            )
        if self.epochs and self.max_steps:
            raise ConfigError('`epochs` and `max_steps` both say how long; give one')
        if not self.model_dir:
            name = f'{self.dataset}-{self.network}'.replace(':', '_').replace('/', '_')
            object.__setattr__(self, 'model_dir', os.path.join('runs', name))
        if not self.export_dir:
            object.__setattr__(
                self, 'export_dir', os.path.join(self.model_dir, 'export')
            )

    def total_steps(self, num_examples):
        """Returns the length of the run in steps, for so many training examples."""
        if self.max_steps:
            return self.max_steps
        # Rounded up: an epoch has seen every example.
        # Rounded first: 1.1 epochs of 100 examples are not 110.00000000000001.
        examples = round((self.epochs or 10) * num_examples, 6)
        return max(1, math.ceil(examples / self.batch_size))

    def interval(self, name, num_examples):
        """Returns the setting `name`, a duration, as a (float) number of steps."""
        return intervals.interval(
            getattr(self, name),
            name,
            num_examples / self.batch_size,
            self.total_steps(num_examples),
        )

    def patience(self, num_examples):
        """Returns (number, 'evaluations' or 'steps') of `early_stopping`, or None."""
        found = early_stopping.parse_patience(self.early_stopping, 'early_stopping')
        if found is None or found[1] == 'evaluations':
            return found
        return self.interval('early_stopping', num_examples), 'steps'

    def warm_start_rules(self):
        """Returns the `WarmStartRules` of `warm_start`."""
        texts = {
            name: getattr(self, f'warm_start_{name}')
            for name in ('include', 'exclude', 'map')
        }
        for name, text in texts.items():
            if text and not self.warm_start:
                raise ConfigError(
                    f'`warm_start_{name}` needs `warm_start`, got {text!r}'
                )
        return WarmStartRules.parse(*texts.values())

    def to_dict(self):
        """Returns the settings as a dict of JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, settings):
        """Makes the object from a dict, as `config.json` holds it.

        Raises:
          ConfigError: a setting that there is not (a newer version wrote the file).
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(settings) - known)
        if unknown:
            raise ConfigError(
                f'{FILE_NAME} has settings that this version does not know: '
                + ', '.join(unknown)
            )
        return cls(**settings)

    def differences(self, other):
        """Lists the settings in which another run is not the continuation of this.

        Returns:
          List of (name, value here, value there), of settings that are not free.
        """
        pairs = []
        for field in dataclasses.fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if mine != theirs and not field.metadata['free']:
                pairs.append((field.name, mine, theirs))
        return pairs


def load(model_dir):
    """Reads the settings of the run in a model_dir.

    Raises:
      ConfigError: there is none.
    """
    path = os.path.join(model_dir, FILE_NAME)
    try:
        with open(path, encoding='utf-8') as file:
            settings = dict(json.load(file)['settings'])
            # The directory may have been moved since, and what is in it with it.
            inside = os.path.join(settings.get('model_dir', ''), 'export')
            if settings.get('export_dir') == inside:
                settings['export_dir'] = ''
            settings['model_dir'] = model_dir
            return Config.from_dict(settings)
    except FileNotFoundError:
        raise ConfigError(
            f'`model_dir` must be the directory of a run, but {model_dir} has no '
            f'{FILE_NAME}'
        ) from None
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ConfigError(f'{path} is corrupt: {error}') from None


_TYPES = {str: 'a text', int: 'a whole number', float: 'a number', bool: 'a bool'}


def _wrong_type(field, value):
    if value is None and field.default is None:
        return None
    kinds = (int, float) if field.type is float else field.type
    if isinstance(value, kinds) and (field.type is bool) == isinstance(value, bool):
        return None
    return f'must be {_TYPES[field.type]}'
