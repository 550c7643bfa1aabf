"""From kinds of explanation to files and TensorBoard."""

import os

from estimator_clf.core.errors import ConfigError
from estimator_clf.explain import image_figures, network_figures
from estimator_clf.explain.weight_images import (
    first_filters,
    first_weights,
    pixel_weights,
)
from estimator_clf.loggers import summary_protos
from estimator_clf.loggers.tensorboard_writer import LazyWriter, event_writer

# Of the network alone, and of images.
NETWORK_KINDS = {
    'weights': network_figures.weights_figure,
    'filters': network_figures.filters_figure,
    'maximize': network_figures.maximize_figure,
}
IMAGE_KINDS = {
    'saliency': image_figures.saliency_figure,
    'occlusion': image_figures.occlusion_figure,
    'features': image_figures.features_figures,
    'dream': image_figures.dream_figures,
}


# What can be found out before the minutes of work that another kind may take.
_CHECKS = {
    'weights': lambda explainer, wish: pixel_weights(explainer, 1),
    'filters': lambda explainer, wish: first_filters(explainer),
    'occlusion': image_figures.patch_of,
    'features': image_figures.layer_of_maps,
}


def usual_kinds(explainer):
    """Returns the kinds that suit a network, where nobody says which."""
    first, _ = first_weights(explainer)
    begins = 'filters' if first.shape.rank == 4 else 'weights'
    return [begins, 'saliency', 'occlusion', 'maximize']


def explain(explainer, kinds, wish, given, directory, step):
    """Makes sheets, writes each as a PNG and as an image for TensorBoard.

    Args:
      explainer: `Explainer`.
      kinds: names in `NETWORK_KINDS` and `IMAGE_KINDS`.
      wish: `wish.Wish`.
      given: list of `images.Image`; needed for the second only.
      directory: where to; made if it is not there.
      step: global step of the checkpoint, for TensorBoard.

    Yields:
      (path of the PNG, `wish.Figure`).

    Raises:
      ConfigError: a kind that this network cannot have, or a wish that it cannot grant.
    """
    for unit in wish.units if wish.layer else ():
        explainer.layer(wish.layer, unit)
    for kind in kinds:
        if kind in IMAGE_KINDS and not given:
            raise ConfigError(f'`what={kind}` needs images: name some, or `count`')
        if kind in _CHECKS:
            _CHECKS[kind](explainer, wish)
    writer = LazyWriter(directory)
    for kind in kinds:
        if kind in NETWORK_KINDS:
            figures = NETWORK_KINDS[kind](explainer, wish)
        else:
            figures = IMAGE_KINDS[kind](explainer, wish, given)
        for figure in figures:
            os.makedirs(directory, exist_ok=True)
            path = os.path.join(directory, figure.name + '.png')
            figure.picture.save(path, optimize=True)
            tag = f'{kind}/{figure.name.removeprefix(kind).lstrip("-") or kind}'
            writer.add_summary(summary_protos.image(tag, figure.picture), step)
            event_writer(directory).flush()
            yield path, figure
