"""Figures about the network itself, without images."""

from collections.abc import Sequence

import numpy as np

from estimator_clf.explain import activation_maximization, colormaps, weight_images
from estimator_clf.explain.explainer import BATCH, Explainer
from estimator_clf.explain.figure_layout import Figure, Tile, render_figure
from estimator_clf.explain.options import ExplainOptions

# Number of units and classes shown by default.
_MAX_UNITS = 30
_MAX_CLASSES = 100

# Quantile of the absolute weights that has full color; larger weights are clipped.
_QUANTILE = 0.99


def weights_figures(explainer: Explainer, options: ExplainOptions) -> list[Figure]:
    """Contribution of every pixel to each class (or unit) of a first dense layer."""
    layer, values = weight_images.pixel_weights(explainer, _MAX_CLASSES)
    is_output = layer.tensor.shape[1:] == explainer.scores.shape[1:]
    kind = 'class' if is_output else 'unit'
    names = (
        explainer.class_names
        if is_output
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
    unit = f'change of the {kind} score when a pixel changes from black to white'
    if gray:
        note = (
            f'Bright pixels raise the score of the {kind} where this image is red and '
            'lower it where it is blue; white has no weight. One color scale for all '
            'images, slightly blurred.'
        )
    else:
        note = (
            f'An image with these colors raises the score of the {kind}; middle gray '
            f'has no weight. One scale for all images: full red adds {scale:.2g} to '
            'the score where the image is red, and no red subtracts as much.'
        )
    image = render_figure(
        f'Weights of {layer.name}, one image per {kind}',
        note,
        tiles,
        5,
        scale=(scale, unit) if gray else None,
    )
    return [Figure('weights', image, (f'largest weight: {largest:.3g} {unit}',))]


def filters_figures(explainer: Explainer, options: ExplainOptions) -> list[Figure]:
    """Filters of a first convolution."""
    layer, filters = weight_images.first_filters(explainer)
    shown = filters[: 2 * BATCH]
    tiles = [Tile(colormaps.around_gray(f), (str(i),)) for i, f in enumerate(shown)]
    size = 'x'.join(map(str, filters.shape[1:3]))
    colors = (
        'colors are the channels'
        if filters.shape[-1] == 3
        else 'white is positive, black is negative'
    )
    note = (
        f'{len(filters)} filters of {size} pixels, each scaled to its largest weight. '
        f'Middle gray is 0, {colors}.'
    )
    title = f'Filters of {layer.name if layer else "the first layer"}'
    return [Figure('filters', render_figure(title, note, tiles, 16, edge=48))]


def maximize_figures(explainer: Explainer, options: ExplainOptions) -> list[Figure]:
    """Image that maximizes each class, or each unit of a layer."""
    steps = options.steps or activation_maximization.STEPS
    if options.layer:
        layer = explainer.layer(options.layer)
        for unit in options.units:
            explainer.layer(options.layer, unit)
        tensor, name = layer.tensor, layer.file_name
        units = list(options.units) or list(range(min(_MAX_UNITS, layer.units)))
    else:
        tensor, name = explainer.scores, 'classes'
        units = list(range(min(_MAX_CLASSES, len(explainer.class_names))))
        if options.class_name:
            units = [explainer.class_index(options.class_name)]
    images = np.concatenate(
        [
            activation_maximization.maximize(
                explainer,
                tensor,
                units[i : i + BATCH],
                steps=steps,
                smoothness=options.smoothness,
                sparsity=options.sparsity,
                seed=options.seed,
            )
            for i in range(0, len(units), BATCH)
        ]
    )
    captions: Sequence[tuple[str, ...]]
    if options.layer:
        reached, _ = explainer.gradients(explainer.objective(tensor), images, units)
        kind = 'channel' if tensor.shape.rank == 4 else 'unit'
        captions = [
            (f'{kind} {unit}', f'output: {value:.3g}')
            for unit, value in zip(units, reached, strict=True)
        ]
        title = f'Images that maximize each {kind} of {layer.name}'
    else:
        probabilities = explainer.probabilities(images)[np.arange(len(units)), units]
        captions = [
            (explainer.class_names[unit], f'probability: {probability:.0%}')
            for unit, probability in zip(units, probabilities, strict=True)
        ]
        title = 'Images that maximize the score of each class'
    note = (
        f'Activation maximization: {steps} steps of gradient ascent from the mean '
        'color, with random transformations and smoothing.'
    )
    tiles = [Tile(i, lines) for i, lines in zip(images, captions, strict=True)]
    columns = 5 if len(tiles) <= 30 else 10
    return [Figure(f'maximize-{name}', render_figure(title, note, tiles, columns))]
