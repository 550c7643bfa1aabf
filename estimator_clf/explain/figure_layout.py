"""A sheet of images with a heading, captions, and a scale of the colors."""

import dataclasses
import textwrap

import numpy as np

from estimator_clf.explain import colormaps
from estimator_clf.loggers import drawing

_GAP = 12
_TITLE, _TEXT, _CAPTION = 17, 13, 12  # Heights of letters in pixels.
_LEAST_WIDTH = 520  # The heading wants some room.
_BAR = (240, 12)


@dataclasses.dataclass(frozen=True)
class Tile:
    """One image of a sheet.

    Attributes:
      pixels: [H, W, 1 or 3] in 0..255.
      lines: what is written below it.
    """

    pixels: np.ndarray
    lines: tuple = ()


def sheet(title, note, tiles, columns, edge=112, bar=None):
    """Lays tiles out in lines, under a heading.

    Args:
      title: what this is.
      note: how to read it, a sentence or two.
      tiles: list of `Tile`, at least one.
      columns: how many in a line.
      edge: of the square that each image is fitted into, in pixels, about.
      bar: (number, unit) to draw a scale of `colors.diverging` from minus that number
        to plus; None: none.

    Returns:
      `PIL.Image.Image`.
    """
    columns = min(columns, len(tiles))
    longest = max(max(tile.pixels.shape[:2]) for tile in tiles)
    if longest < 1.5 * edge:  # As many pixels for each pixel: they stay squares.
        edge = longest * max(1, round(edge / longest))
    height = max(tile.pixels.shape[0] / max(tile.pixels.shape[:2]) for tile in tiles)
    high = round(edge * height)  # Of landscapes less than the edge.
    words = max(len(tile.lines) for tile in tiles) * (_CAPTION + 4)
    step = (edge + _GAP, high + words + _GAP)
    width = max(_LEAST_WIDTH, columns * step[0] + _GAP)
    if bar:
        width = max(width, _BAR[0] + drawing.text_width(bar[1], _CAPTION) + 3 * _GAP)
    notes = textwrap.wrap(note, int((width - 2 * _GAP) / (_TEXT * 0.53)))
    top = _GAP + _TITLE + 6 + len(notes) * (_TEXT + 5) + _GAP
    lines = -(-len(tiles) // columns)
    bottom = top + lines * step[1]
    picture, draw = drawing.canvas(width, bottom + (_BAR[1] + 30 if bar else 0))

    title = drawing.shorten(title, _TITLE, width - 2 * _GAP)
    draw.text((_GAP, _GAP), title, drawing.INK, drawing.font(_TITLE))
    for number, text in enumerate(notes):
        y = _GAP + _TITLE + 6 + number * (_TEXT + 5)
        draw.text((_GAP, y), text, drawing.FAINT, drawing.font(_TEXT))
    for number, tile in enumerate(tiles):
        x = _GAP + number % columns * step[0]
        y = top + number // columns * step[1]
        small = drawing.thumbnail(tile.pixels, edge)
        at = x + (edge - small.width) // 2, y + (high - small.height) // 2
        picture.paste(small, at)
        box = (at[0] - 1, at[1] - 1, at[0] + small.width, at[1] + small.height)
        draw.rectangle(box, outline=(215, 218, 222))
        for place, text in enumerate(tile.lines):
            ink = drawing.FAINT if place else drawing.INK
            text = drawing.shorten(text, _CAPTION, edge)
            below = y + high + 3 + place * (_CAPTION + 4)
            draw.text((x, below), text, ink, drawing.font(_CAPTION))
    if bar:
        _scale(picture, draw, bottom, *bar)
    return picture


def _scale(picture, draw, top, most, unit):
    numbers = np.linspace(-most, most, _BAR[0])
    strip = colormaps.diverging(np.repeat(numbers[None], _BAR[1], 0), most)
    picture.paste(drawing.thumbnail(strip, _BAR[0]), (_GAP, top))
    draw.rectangle(
        (_GAP - 1, top - 1, _GAP + _BAR[0], top + _BAR[1]), outline=(215, 218, 222)
    )
    y, font = top + _BAR[1] + 3, drawing.font(_CAPTION)
    marks = ((-most, 0, 'la'), (0.0, _BAR[0] // 2, 'ma'), (most, _BAR[0], 'ra'))
    for value, x, anchor in marks:
        text = f'{value:+.3g}' if value else '0'
        draw.text((_GAP + x, y), text, drawing.FAINT, font, anchor=anchor)
    draw.text((_GAP + _BAR[0] + 10, top - 1), unit, drawing.FAINT, font)
