"""Figures about the network's response to given images."""

import os
from collections.abc import Iterator, Sequence

import numpy as np

from estimator_clf.core.errors import ConfigError
from estimator_clf.explain import colormaps, deepdream, occlusion, saliency
from estimator_clf.explain.explainer import Explainer
from estimator_clf.explain.figure_layout import Figure, Tile, render_figure
from estimator_clf.explain.images import DecodedImage, decode_full_size
from estimator_clf.explain.layers import Layer
from estimator_clf.explain.options import ExplainOptions

_MAX_CHANNELS = 64
_PAIRS = 3  # Per row of a figure.

# A dream has at least this many times the network's input size and, unless the image
# itself is smaller, at most this many pixels per side.
_DREAM_INPUTS = 3
_DREAM_PIXELS = 256

Images = Sequence[DecodedImage]


def saliency_figures(
    explainer: Explainer, options: ExplainOptions, images: Images
) -> list[Figure]:
    """Integrated gradients, overlaid on the images."""
    baseline = explainer.mean if options.baseline == 'mean' else np.float32(0)
    tiles, messages = [], []
    for image, captions, index, probability in _classified(explainer, options, images):
        values, gap, steps = saliency.complete_gradients(
            explainer, image.pixels, index, baseline, options.steps
        )
        values = colormaps.smoothed(values.sum(axis=-1))
        # Single pixels can be far above all others.
        scale = float(np.quantile(np.abs(values), 0.99))
        name = explainer.class_names[index]
        tiles += [
            Tile(image.pixels, captions),
            Tile(
                colormaps.overlay(image.pixels, values, scale),
                (f'for {name}: {probability:.0%}', f'sum: {values.sum():+.1f}'),
            ),
        ]
        messages.append(
            f'{image.name}: the attributions sum to {values.sum():+.3f} of the score '
            f'of {name}, with a gap of {gap:.2%} in {steps} steps'
        )
    reference = 'the mean color' if options.baseline == 'mean' else 'black'
    note = (
        'A red pixel raises the score of the class, a blue pixel lowers it, compared '
        f'with an image of {reference}. The sum is over all pixels. Colors are scaled '
        'per image and slightly blurred.'
    )
    figure = render_figure('Integrated gradients', note, tiles, 2 * _PAIRS)
    return [Figure('saliency', figure, tuple(messages))]


def resolve_patch(explainer: Explainer, options: ExplainOptions) -> tuple[int, int]:
    """Returns (side of the occluding patch, stride) in pixels.

    Raises:
      ConfigError: the patch is larger than the image, or the stride than the patch.
    """
    patch, stride = occlusion.default_patch(explainer.shape)
    if options.patch:
        patch, stride = options.patch, max(1, options.patch // 3)
    stride = options.stride or stride
    if patch > min(explainer.shape[:2]):
        raise ConfigError(
            f'`patch` must be at most the {min(explainer.shape[:2])} pixels of the '
            f'shorter side, got {patch}'
        )
    if stride > patch:
        raise ConfigError(
            f'`stride` must be at most the {patch} pixels of the patch (`patch`), so '
            f'that it covers the whole image, got {stride}'
        )
    return patch, stride


def occlusion_figures(
    explainer: Explainer, options: ExplainOptions, images: Images
) -> list[Figure]:
    """Drop of the class probability where a patch covers the image."""
    patch, stride = resolve_patch(explainer, options)
    tiles, messages = [], []
    for image, captions, index, probability in _classified(explainer, options, images):
        drops = occlusion.occlusion(
            explainer, image.pixels, index, patch, stride, explainer.mean
        )
        name, drop = explainer.class_names[index], max(float(drops.max()), 0.0)
        # The minimum avoids full color for negligible changes.
        scale = max(float(np.abs(drops).max()), 0.02)
        tiles += [
            Tile(image.pixels, captions),
            Tile(
                colormaps.overlay(image.pixels, drops, scale),
                (
                    f'for {name}: {probability:.0%}',
                    f'covered: {probability - drop:.0%}',
                ),
            ),
        ]
        messages.append(
            f'{image.name}: covering lowers the probability of {name} from '
            f'{probability:.4f} by up to {drop:.4f}'
        )
    note = (
        f'A patch of {patch}x{patch} pixels in the mean color slides over the image: '
        'covering red regions lowers the probability of the class, covering blue '
        'regions raises it. Colors are scaled per image.'
    )
    figure = render_figure('Occlusion sensitivity', note, tiles, 2 * _PAIRS)
    return [Figure('occlusion', figure, tuple(messages))]


def feature_layer(explainer: Explainer, options: ExplainOptions) -> Layer:
    """Returns the layer for feature maps.

    Raises:
      ConfigError: the layer has no feature maps, or not the requested units.
    """
    maps = _layers_with_maps(explainer)
    layer = explainer.layer(options.layer) if options.layer else next(iter(maps), None)
    if layer is None or layer.tensor.shape.rank != 4:
        raise ConfigError(
            '`what=features` needs a layer with feature maps (height x width x '
            f'channels), which {layer or "no layer of this network"} is not; `layer=?` '
            'lists the layers'
        )
    for unit in options.units:
        explainer.layer(layer.name, unit)
    return layer


def features_figures(
    explainer: Explainer, options: ExplainOptions, images: Images
) -> list[Figure]:
    """Feature maps of a layer, one figure per image."""
    layer = feature_layer(explainer, options)
    channels = options.units or range(min(_MAX_CHANNELS, layer.units))
    figures = []
    for number, image in enumerate(images, 1):
        maps = explainer.run(layer.tensor, image.pixels[None])[0]
        tiles = [Tile(image.pixels, _heading(explainer, image))]
        tiles += [
            Tile(colormaps.stretched(maps[..., c]), (f'{c}: {maps[..., c].max():.3g}',))
            for c in channels
        ]
        note = (
            'The image, and each channel with its number and maximum, which is white; '
            'black is 0 and below.'
        )
        title = f'Feature maps of {layer.name}'
        name = f'features-{layer.file_name}-{number}'
        figures.append(Figure(name, render_figure(title, note, tiles, 11, edge=72)))
    return figures


def dream_figures(
    explainer: Explainer, options: ExplainOptions, images: Images
) -> list[Figure]:
    """DeepDream of a layer, one figure per image."""
    if options.layer:
        layer = explainer.layer(options.layer)
    else:  # The last activation with feature maps, or else the last layer.
        layer = (_layers_with_maps(explainer) or list(explainer.layers.values()))[-1]
    for requested in options.units:
        explainer.layer(layer.name, requested)
    figures = []
    units: Sequence[int | None] = options.units or (None,)
    for number, image in enumerate(images, 1):
        base = _dream_base(explainer, options, image)
        tiles, messages = [Tile(base, _heading(explainer, image))], []
        for unit in units:
            dreamt = deepdream.dream(
                explainer,
                layer.tensor,
                base,
                unit=unit,
                steps=options.steps or 20,
                seed=options.seed,
            )
            name = layer.name if unit is None else f'{layer.name}, channel {unit}'
            tiles.append(Tile(dreamt, (name,)))
            before, after = (
                _dream_objective(explainer, layer, unit, x) for x in (base, dreamt)
            )
            kind = 'root mean square' if unit is None else 'mean'
            messages.append(
                f'{image.name}: in the center of the image the output of {name} '
                f'changes from {before:.3g} to {after:.3g} ({kind})'
            )
        note = (
            'DeepDream: the image is changed, from coarse to fine, to amplify the '
            'patterns that the layer detects in it.'
        )
        figure = render_figure(f'DeepDream of {layer.name}', note, tiles, 3, edge=256)
        figures.append(
            Figure(f'dream-{layer.file_name}-{number}', figure, tuple(messages))
        )
    return figures


def _dream_objective(
    explainer: Explainer, layer: Layer, unit: int | None, image: np.ndarray
) -> float:
    """Returns what a dream maximizes: a channel's mean, or the root mean square of all.

    Measured in the center of the image, on the size of the network's input.
    """
    kind = 'square' if unit is None else 'value'
    objective = explainer.objective(layer.tensor, kind)
    values, _ = explainer.gradient(objective, _center(explainer, image), unit or 0)
    return float(values[0]) ** (0.5 if unit is None else 1)


def _classified(
    explainer: Explainer, options: ExplainOptions, images: Images
) -> Iterator[tuple[DecodedImage, tuple[str, str], int, float]]:
    """Yields (image, captions, class to explain, its probability)."""
    for image in images:
        probabilities = _probabilities(explainer, image)
        index = int(np.argmax(probabilities))
        if options.class_name:
            index = explainer.class_index(options.class_name)
        captions = _captions(explainer, image, probabilities)
        yield image, captions, index, float(probabilities[index])


def _probabilities(explainer: Explainer, image: DecodedImage) -> np.ndarray:
    return explainer.probabilities(image.pixels[None])[0]


def _heading(explainer: Explainer, image: DecodedImage) -> tuple[str, ...]:
    return _captions(explainer, image, _probabilities(explainer, image))[:1]


def _captions(
    explainer: Explainer, image: DecodedImage, probabilities: np.ndarray
) -> tuple[str, str]:
    best = int(np.argmax(probabilities))
    predicted = f'pred: {explainer.class_names[best]} ({probabilities[best]:.0%})'
    if image.label is None:
        return predicted, os.path.basename(image.name)
    return f'true: {explainer.class_names[image.label]}', predicted


def _layers_with_maps(explainer: Explainer) -> list[Layer]:
    """Returns the activations with feature maps, or else all layers with them."""
    maps = [x for x in explainer.layers.values() if x.tensor.shape.rank == 4]
    return [x for x in maps if x.name.endswith(('elu', 'relu6'))] or maps


def _dream_base(
    explainer: Explainer, options: ExplainOptions, image: DecodedImage
) -> np.ndarray:
    """Decodes an image at the size of its dream."""
    height, width, channels = explainer.shape
    pixels = decode_full_size(image, channels, options.max_pixels or None)
    longest = max(pixels.shape[:2])
    minimum = max(height / pixels.shape[0], width / pixels.shape[1])
    scale = (options.dream_size or min(longest, _DREAM_PIXELS)) / longest
    if not options.dream_size:
        scale = max(scale, min(_DREAM_INPUTS * minimum, _DREAM_PIXELS / longest))
    scale = max(scale, minimum)
    size = (round(pixels.shape[0] * scale), round(pixels.shape[1] * scale))
    size = max(size[0], height), max(size[1], width)
    return np.clip(deepdream.resized(pixels, size), 0, 255)


def _center(explainer: Explainer, image: np.ndarray) -> np.ndarray:
    height, width, _ = explainer.shape
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[None, top : top + height, left : left + width]
