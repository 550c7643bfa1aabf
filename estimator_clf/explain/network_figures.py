"""Sheets about the network itself, for which no image is needed."""

import numpy as np

from estimator_clf.explain import activation_maximization, colormaps, weight_images
from estimator_clf.explain.explainer import BATCH
from estimator_clf.explain.figure_layout import Tile, sheet
from estimator_clf.explain.options import Figure

# Units of a layer that are shown where none is asked for.
_MOST_UNITS = 30
_MOST_CLASSES = 100

# Of all weights: what is above has the full color, too.
_QUANTILE = 0.99


def weights_figure(explainer, wish):
    """What every pixel adds to each class (or unit) of a first dense layer."""
    layer, values = weight_images.pixel_weights(explainer, _MOST_CLASSES)
    of_classes = layer.tensor.shape[1:] == explainer.scores.shape[1:]
    what = 'class' if of_classes else 'unit'
    names = (
        explainer.class_names
        if of_classes
        else [f'unit {i}' for i in range(layer.units)]
    )
    largest = float(np.abs(values).max())
    gray = values.shape[-1] == 1
    if gray:
        values = np.stack([colormaps.smoothed(value[..., 0]) for value in values])
    # A few pixels in the corners can have many times the weight of all others.
    scale = float(np.quantile(np.abs(values), _QUANTILE)) or 1.0
    color = colormaps.diverging if gray else colormaps.around_gray
    tiles = [
        Tile(color(value, scale), (name,))
        for name, value in zip(names[: len(values)], values, strict=True)
    ]
    unit = f"added to the {what}'s score by a white pixel in place of a black one"
    if gray:
        note = f'A red pixel speaks for its {what} where the image is bright, a blue '
        note += 'one against it; a white one does not count. All on one scale, and '
        note += 'blurred a little.'
    else:
        note = f'Where an image has the colors of this one, its {what} gains; middle '
        note += f'gray does not count. All on one scale: full red adds {scale:.2g} to '
        note += f"the {what}'s score where the image is red, no red takes as much."
    picture = sheet(
        f'Weights of {layer.name}, an image for each {what}',
        note,
        tiles,
        5,
        bar=(scale, unit) if gray else None,
    )
    return [Figure('weights', picture, (f'largest weight: {largest:.3g} {unit}',))]


def filters_figure(explainer, wish):
    """The filters of a first convolution."""
    layer, filters = weight_images.first_filters(explainer)
    shown = filters[: 2 * BATCH]
    tiles = [Tile(colormaps.around_gray(f), (str(i),)) for i, f in enumerate(shown)]
    channels = filters.shape[-1]
    size = 'x'.join(map(str, filters.shape[1:3]))
    name = layer.name if layer else 'the first layer'
    note = (
        f'{len(filters)} filters of {size} pixels, each stretched to its own largest '
    )
    note += 'weight. Middle gray is 0, '
    note += 'colors are the channels.' if channels == 3 else 'white above, black below.'
    title = f'Filters of {name}, by their numbers'
    return [Figure('filters', sheet(title, note, tiles, 16, edge=48))]


def maximize_figure(explainer, wish):
    """The image that each class, or each unit of a layer, likes best."""
    steps = wish.steps or activation_maximization.STEPS
    classes = not wish.layer
    if classes:
        tensor, name = explainer.scores, 'classes'
        units = list(range(min(_MOST_CLASSES, len(explainer.class_names))))
        if wish.class_name:
            units = [explainer.class_number(wish.class_name)]
    else:
        layer = explainer.layer(wish.layer)
        for unit in wish.units:
            explainer.layer(wish.layer, unit)
        tensor, name = layer.tensor, layer.file_name
        units = list(wish.units) or list(range(min(_MOST_UNITS, layer.units)))
    images = np.concatenate(
        [
            activation_maximization.maximize(
                explainer,
                tensor,
                units[i : i + BATCH],
                steps=steps,
                smoothness=wish.smoothness,
                sparsity=wish.sparsity,
                seed=wish.seed,
            )
            for i in range(0, len(units), BATCH)
        ]
    )
    if classes:
        chances = explainer.probabilities(images)[np.arange(len(units)), units]
        lines = [
            (explainer.class_names[unit], f'taken for it: {chance:.0%}')
            for unit, chance in zip(units, chances, strict=True)
        ]
        title = 'The image that each class likes best'
    else:
        reached, _ = explainer.gradients(explainer.goal(tensor), images, units)
        word = 'channel' if tensor.shape.rank == 4 else 'unit'
        lines = [
            (f'{word} {unit}', f'reaches {value:.3g}')
            for unit, value in zip(units, reached, strict=True)
        ]
        title = f'The image that each {word} of {layer.name} likes best'
    note = f'Made by the network alone: {steps} steps up the gradient of its output, '
    note += 'from the mean color; moved at random and smoothed on the way.'
    tiles = [Tile(i, line) for i, line in zip(images, lines, strict=True)]
    columns = 5 if len(tiles) <= 30 else 10
    return [Figure(f'maximize-{name}', sheet(title, note, tiles, columns))]
