"""Kinds of explanations, written as PNG files and TensorBoard images."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from estimator_clf.core.errors import ConfigError
from estimator_clf.explain import image_figures, network_figures
from estimator_clf.explain.explainer import Explainer
from estimator_clf.explain.figure_layout import Figure
from estimator_clf.explain.images import DecodedImage
from estimator_clf.explain.options import ExplainOptions
from estimator_clf.explain.weight_images import (
    first_filters,
    first_weights,
    pixel_weights,
)
from estimator_clf.loggers import summary_protos
from estimator_clf.loggers.tensorboard_writer import LazyWriter, event_writer

# Kinds that need no images.
NETWORK_KINDS: dict[str, Callable[[Explainer, ExplainOptions], list[Figure]]] = {
    'weights': network_figures.weights_figures,
    'filters': network_figures.filters_figures,
    'maximize': network_figures.maximize_figures,
}
# Kinds that explain images.
IMAGE_KINDS: dict[
    str, Callable[[Explainer, ExplainOptions, Sequence[DecodedImage]], list[Figure]]
] = {
    'saliency': image_figures.saliency_figures,
    'occlusion': image_figures.occlusion_figures,
    'features': image_figures.features_figures,
    'dream': image_figures.dream_figures,
}

# Validation before the first figure, since another kind may take minutes.
_CHECKS: dict[str, Callable[[Explainer, ExplainOptions], Any]] = {
    'weights': lambda explainer, options: pixel_weights(explainer, 1),
    'filters': lambda explainer, options: first_filters(explainer),
    'occlusion': image_figures.resolve_patch,
    'features': image_figures.feature_layer,
}


def default_kinds(explainer: Explainer) -> list[str]:
    """Returns the default kinds for a network."""
    first, _ = first_weights(explainer)
    weights = 'filters' if first.shape.rank == 4 else 'weights'
    return [weights, 'saliency', 'occlusion', 'maximize']


def write_figures(
    explainer: Explainer,
    kinds: Sequence[str],
    options: ExplainOptions,
    images: Sequence[DecodedImage],
    directory: str,
    step: int,
) -> Iterator[tuple[str, Figure]]:
    """Renders figures and writes each as a PNG file and a TensorBoard image.

    Args:
      explainer: restored network.
      kinds: names in `NETWORK_KINDS` and `IMAGE_KINDS`.
      options: options of all kinds.
      images: images to explain; required for `IMAGE_KINDS` only.
      directory: output directory, created if missing.
      step: global step of the checkpoint, for TensorBoard.

    Yields:
      (path of the PNG file, figure).

    Raises:
      ConfigError: the network does not support a kind or an option.
    """
    for unit in options.units if options.layer else ():
        explainer.layer(options.layer, unit)
    for kind in kinds:
        if kind in IMAGE_KINDS and not images:
            raise ConfigError(f'`what={kind}` needs images: name some, or set `count`')
        if kind in _CHECKS:
            _CHECKS[kind](explainer, options)
    writer = LazyWriter(directory)
    for kind in kinds:
        if kind in NETWORK_KINDS:
            figures = NETWORK_KINDS[kind](explainer, options)
        else:
            figures = IMAGE_KINDS[kind](explainer, options, images)
        for figure in figures:
            os.makedirs(directory, exist_ok=True)
            path = os.path.join(directory, figure.name + '.png')
            figure.image.save(path, optimize=True)
            tag = f'{kind}/{figure.name.removeprefix(kind).lstrip("-") or kind}'
            writer.add_summary(summary_protos.image(tag, figure.image), step)
            event_writer(directory).flush()
            yield path, figure
