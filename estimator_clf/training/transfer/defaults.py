"""Settings of transfer learning that follow from the data."""

import dataclasses
from typing import TYPE_CHECKING

from estimator_clf.config import step_plan
from estimator_clf.config.config import Config
from estimator_clf.config.model_options import network_options
from estimator_clf.core.call_syntax import parse_list
from estimator_clf.core.errors import ConfigError
from model_fns import registry

if TYPE_CHECKING:
    from input.sources.base import DataSource

#: Name of the layer that is fitted to the features.
CLASSIFIER = 'logits'

# A fine-tuning that cannot be told from chance by so few images is not worth its time.
_MIN_FOR_FINE_TUNING = 100

_BATCH = 32

# Images that fine-tuning reads in all, and bounds of its epochs.
_IMAGES, _MIN_EPOCHS, _MAX_EPOCHS = 6000, 2, 15

# Adam's rate; above it the pretrained layers forget more than they learn.
_LEARNING_RATE = 1e-4


@dataclasses.dataclass(frozen=True)
class Resolved:
    """Settings of a run whose data is known.

    Attributes:
      config: the settings.
      chosen: values that were not given, by setting.
      selection: the split that may choose between results, or None.
      images: number of training images.
      num_classes: number of classes.
    """

    config: Config
    chosen: dict[str, object]
    selection: str | None
    images: int
    num_classes: int

    @property
    def message(self) -> str:
        """Says what was chosen, and that it may be given."""
        listed = ', '.join(f'`{name}={value}`' for name, value in self.chosen.items())
        return (
            f'`transfer`: for {self.images} training images of {self.num_classes} '
            f'classes, {listed}; to change a value, give it'
        )


def resolve(config: Config, source: 'DataSource') -> Resolved:
    """Replaces settings that were not given by values that follow from the data.

    Args:
      config: settings of a run with `transfer`.
      source: its data.

    Raises:
      ConfigError: settings that transfer learning cannot use, or no validation split
        where one is needed.
    """
    size = source.num_examples.get(config.data.train_split, 0)
    selection = selection_split(config, source)
    chosen: dict[str, object] = {}

    def choose(name, value):
        if name not in config.given and config.to_flat()[name] != value:
            chosen[name] = value

    choose('batch_size', max(1, min(_BATCH, size)))
    layers = _fine_tuned(config, source, selection)
    chosen['fine_tune'] = layers
    train_only = {'none': CLASSIFIER, 'all': ''}.get(layers, f'{layers}, {CLASSIFIER}')
    if 'train_only' in config.given:
        _check_train_only(config.optimization.train_only, train_only)
    elif train_only:
        chosen['train_only'] = train_only
    if layers != 'none' and not config.evaluation.keep_best:
        raise ConfigError(
            '`transfer` keeps the best weights of fine-tuning: `keep_best` must be at '
            'least 1, got 0; or use `fine_tune=none`'
        )
    if layers != 'none':
        _choose_fine_tuning(config, size, choose)
    classes = len(source.class_names)
    return Resolved(config.replace(**chosen), chosen, selection, size, classes)


def selection_split(config: Config, source: 'DataSource') -> str | None:
    """Returns the split that may choose, never the test split unless it is named."""
    split = step_plan.evaluation_split(config, source)
    if split == 'test' and config.evaluation.eval_split != 'test':
        return None
    return split


def _check_train_only(given, expected):
    if given != expected:
        raise ConfigError(
            f'`train_only={given}`: with `transfer` the variables that are trained '
            'after the classifier are those of `fine_tune`; give that instead'
        )


def _fine_tuned(config, source, selection):
    """Returns what is trained in the last phase: none, all or patterns."""
    layers = config.transfer.fine_tune
    if layers == 'auto':
        enough = selection and source.num_examples[selection] >= _MIN_FOR_FINE_TUNING
        return 'all' if enough else 'none'
    if layers != 'none' and not selection:
        raise ConfigError(
            f'`fine_tune={layers}` requires a validation split, which decides whether '
            'the result is kept; hold out some of the training split with '
            '`validation_split=0.2`, or use `fine_tune=none`'
        )
    if layers not in ('none', 'all'):
        parse_list(layers, 'fine_tune')
    return layers


def _choose_fine_tuning(config, size, choose):
    epochs = min(max(round(_IMAGES / max(size, 1)), _MIN_EPOCHS), _MAX_EPOCHS)
    if not config.run.max_steps:
        choose('epochs', float(epochs))
    choose('learning_rate', _LEARNING_RATE)
    choose('schedule', 'cosine')
    choose('warmup', '10%')
    choose('augment', 'flip, resized_crop(0.6)')
    choose('best_metric', 'loss')
    choose('early_stopping', '3evals')
    choose('log_every', '1epochs')
    if _has_moving_averages(config):
        choose('freeze', 'moving_')


def _has_moving_averages(config):
    """Returns whether the published network has batch normalization."""
    known = registry.published(config.network_call.name, network_options(config))
    if known is None:
        return False
    return any(layer.kind == 'BatchNormalization' for layer in known.layers)
