"""Sheets about what the network makes of given images."""

import os

import numpy as np

from estimator_clf.core.errors import ConfigError
from estimator_clf.explain import colormaps, deepdream, images, occlusion, saliency
from estimator_clf.explain.figure_layout import Tile, sheet
from estimator_clf.explain.options import Figure

_MOST_CHANNELS = 64
_PAIRS = 3  # In a line of a sheet.

# A dream is at least so many inputs of the network wide and high, and, unless the
# image itself is smaller, at most so many pixels.
_DREAM_INPUTS = 3
_DREAM_PIXELS = 256


def saliency_figure(explainer, wish, given):
    """Integrated gradients, laid over the images."""
    baseline = explainer.mean if wish.baseline == 'mean' else np.float32(0)
    tiles, said = [], []
    for picture, caption, number, chance in _classified(explainer, wish, given):
        values, gap, steps = saliency.complete_gradients(
            explainer, picture.image, number, baseline, wish.steps
        )
        values = colormaps.smoothed(values.sum(axis=-1))
        # Single pixels can be far above all others.
        scale = float(np.quantile(np.abs(values), 0.99))
        name = explainer.class_names[number]
        tiles += [
            Tile(picture.image, caption),
            Tile(
                colormaps.overlay(picture.image, values, scale),
                (f'for {name}: {chance:.0%}', f'sums to {values.sum():+.1f}'),
            ),
        ]
        said.append(
            f'{picture.name}: the attributions add up to {values.sum():+.3f} of the '
            f'score of {name}, a gap of {gap:.2%} in {steps} steps'
        )
    begin = 'the mean color' if wish.baseline == 'mean' else 'black'
    note = (
        'Integrated gradients: a red pixel has raised the score of the class, a blue '
    )
    note += f'one has lowered it, against an image of {begin}. The sum is that of '
    note += 'all pixels; colors are stretched for each image, and blurred a little.'
    title = 'What speaks for the class'
    return [Figure('saliency', sheet(title, note, tiles, 2 * _PAIRS), tuple(said))]


def patch_of(explainer, wish):
    """Returns (side of the patch, how far it moves), in pixels.

    Raises:
      ConfigError: the image is smaller, or some of it would be passed over.
    """
    patch, stride = occlusion.default_patch(explainer.shape)
    if wish.patch:
        patch, stride = wish.patch, max(1, wish.patch // 3)
    stride = wish.stride or stride
    if patch > min(explainer.shape[:2]):
        raise ConfigError(
            f'`patch` must be at most the {min(explainer.shape[:2])} pixels of the '
            f'shorter side, got {patch}'
        )
    if stride > patch:
        raise ConfigError(
            f'`stride` must be at most the {patch} pixels of the patch (`patch`), '
            f'which else passes over some of the image, got {stride}'
        )
    return patch, stride


def occlusion_figure(explainer, wish, given):
    """Where the class is lost if a patch covers the image."""
    patch, stride = patch_of(explainer, wish)
    tiles, said = [], []
    for picture, caption, number, chance in _classified(explainer, wish, given):
        drops = occlusion.occlusion(
            explainer, picture.image, number, patch, stride, explainer.mean
        )
        name, most = explainer.class_names[number], float(drops.max())
        # Not to stretch what is next to nothing.
        scale = max(float(np.abs(drops).max()), 0.02)
        tiles += [
            Tile(picture.image, caption),
            Tile(
                colormaps.overlay(picture.image, drops, scale),
                (
                    f'for {name}: {chance:.0%}',
                    f'covered: {chance - max(most, 0.0):.0%}',
                ),
            ),
        ]
        said.append(
            f'{picture.name}: covered, the probability of {name} falls from '
            f'{chance:.4f} by up to {max(most, 0.0):.4f}'
        )
    note = f'A patch of {patch}x{patch} pixels in the mean color slides over the '
    note += 'image: red is where covering lowers the probability of the class, blue '
    note += 'where it raises it. Colors are stretched for each image.'
    title = 'What the network misses if it is covered'
    return [Figure('occlusion', sheet(title, note, tiles, 2 * _PAIRS), tuple(said))]


def layer_of_maps(explainer, wish):
    """Returns the layer whose outputs are images.

    Raises:
      ConfigError: it has none, or not the units that are wished for.
    """
    layer = explainer.layer(wish.layer) if wish.layer else _first_maps(explainer)
    if layer is None or layer.tensor.shape.rank != 4:
        raise ConfigError(
            f'`what=features` needs a layer that has images (height x width x '
            f'channels), which {layer or "none of this network"} is not; `layer=?` '
            f'lists them'
        )
    for unit in wish.units:
        explainer.layer(layer.name, unit)
    return layer


def features_figures(explainer, wish, given):
    """The outputs of a layer for each image, channel by channel."""
    layer = layer_of_maps(explainer, wish)
    channels = wish.units or range(min(_MOST_CHANNELS, layer.units))
    figures = []
    for number, picture in enumerate(given, 1):
        maps = explainer.run(layer.tensor, picture.image[None])[0]
        tiles = [Tile(picture.image, _heading(explainer, picture))]
        tiles += [
            Tile(colormaps.stretched(maps[..., c]), (f'{c}: {maps[..., c].max():.3g}',))
            for c in channels
        ]
        note = 'The image, and each channel by its number and largest value, which '
        note += 'is white; black is 0 and below.'
        title = f'What {layer.name} hands on'
        name = f'features-{layer.file_name}-{number}'
        figures.append(Figure(name, sheet(title, note, tiles, 11, edge=72)))
    return figures


def dream_figures(explainer, wish, given):
    """Each image, and what a layer dreams of it."""
    layer = explainer.layer(wish.layer) if wish.layer else _usual_dream(explainer)
    for unit in wish.units:
        explainer.layer(layer.name, unit)
    figures = []
    for number, picture in enumerate(given, 1):
        image = _dream_base(explainer, wish, picture)
        tiles, said = [Tile(image, _heading(explainer, picture))], []
        for unit in wish.units or (None,):
            dreamt = deepdream.dream(
                explainer,
                layer.tensor,
                image,
                unit=unit,
                steps=wish.steps or 20,
                seed=wish.seed,
            )
            words = layer.name if unit is None else f'{layer.name}, channel {unit}'
            tiles.append(Tile(dreamt, (words,)))
            before, after = (
                _outputs(explainer, layer, unit, x) for x in (image, dreamt)
            )
            kind = 'root mean square' if unit is None else 'mean'
            said.append(
                f'{picture.name}: in the middle of the image the outputs of {words} '
                f'go from {before:.3g} to {after:.3g} ({kind})'
            )
        note = 'DeepDream: the image is changed, from coarse to fine, such that the '
        note += 'layer sees more of what it sees in it already.'
        name = f'dream-{layer.file_name}-{number}'
        picture = sheet(f'What {layer.name} dreams', note, tiles, 3, edge=256)
        figures.append(Figure(name, picture, tuple(said)))
    return figures


def _outputs(explainer, layer, unit, image):
    """What a dream makes large: a channel's mean, or the root mean square of all.

    In the middle of the image, which is as large as the network looks at.
    """
    kind = 'square' if unit is None else 'value'
    goal = explainer.goal(layer.tensor, kind)
    values, _ = explainer.gradient(goal, _middle(explainer, image), unit or 0)
    return float(values[0]) ** (0.5 if unit is None else 1)


def _classified(explainer, wish, given):
    """Yields (image, caption, number of the class to explain, its probability)."""
    for picture in given:
        chances = _chances(explainer, picture)
        number = int(np.argmax(chances))
        if wish.class_name:
            number = explainer.class_number(wish.class_name)
        caption = _caption(explainer, picture, chances)
        yield picture, caption, number, float(chances[number])


def _chances(explainer, picture):
    return explainer.probabilities(picture.image[None])[0]


def _heading(explainer, picture):
    """The first line of its caption alone."""
    return _caption(explainer, picture, _chances(explainer, picture))[:1]


def _caption(explainer, picture, chances):
    best = int(np.argmax(chances))
    taken = f'taken for {explainer.class_names[best]} ({chances[best]:.0%})'
    if picture.label is None:
        return taken, os.path.basename(picture.name)
    truth = 'is ' + explainer.class_names[picture.label]
    if best == picture.label:
        taken = f'is, and taken for, {explainer.class_names[best]}'
        return truth, f'taken for it: {chances[best]:.0%}'
    return truth, taken


def _first_maps(explainer):
    """The activation behind the first convolution, or that itself."""
    return next(iter(_maps(explainer)), None)


def _usual_dream(explainer):
    """The last activation that still has places, or else the last layer."""
    return (_maps(explainer) or list(explainer.layers.values()))[-1]


def _maps(explainer):
    """The activations that have places, or else all layers that have."""
    maps = [x for x in explainer.layers.values() if x.tensor.shape.rank == 4]
    return [x for x in maps if x.name.endswith(('elu', 'relu6'))] or maps


def _dream_base(explainer, wish, picture):
    height, width, channels = explainer.shape
    image = images.whole(picture, channels, wish.max_pixels or None)
    longest = max(image.shape[:2])
    least = max(height / image.shape[0], width / image.shape[1])
    scale = (wish.dream_size or min(longest, _DREAM_PIXELS)) / longest
    if not wish.dream_size:
        scale = max(scale, min(_DREAM_INPUTS * least, _DREAM_PIXELS / longest))
    scale = max(scale, least)
    size = (round(image.shape[0] * scale), round(image.shape[1] * scale))
    size = max(size[0], height), max(size[1], width)
    return np.clip(deepdream.resized(image, size), 0, 255)


def _middle(explainer, image):
    height, width, _ = explainer.shape
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[None, top : top + height, left : left + width]
