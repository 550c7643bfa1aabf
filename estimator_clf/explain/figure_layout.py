"""Layout of figures: a grid of captioned images with title, note and color scale."""

import dataclasses
import textwrap
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from estimator_clf.explain import colormaps
from estimator_clf.loggers import drawing

_GAP = 12
_TITLE, _TEXT, _CAPTION = 17, 13, 12  # Font sizes in pixels.
_MIN_WIDTH = 520  # Space for title and note.
_SCALE = (240, 12)  # Width and height of the color scale.
_BORDER = (215, 218, 222)


@dataclasses.dataclass(frozen=True)
class Tile:
    """One image of a figure.

    Attributes:
      pixels: [H, W, 1 or 3] in 0..255.
      captions: lines below the image.
    """

    pixels: np.ndarray
    captions: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Figure:
    """A rendered figure.

    Attributes:
      name: file name without directory and '.png'.
      image: the figure.
      messages: measurements for the terminal, one per line.
    """

    name: str
    image: Image.Image
    messages: tuple[str, ...] = ()


def render_figure(
    title: str,
    note: str,
    tiles: Sequence[Tile],
    columns: int,
    edge: int = 112,
    scale: tuple[float, str] | None = None,
) -> Image.Image:
    """Renders tiles row by row below a title and a note.

    Args:
      title: what the figure shows.
      note: how to read it, in a sentence or two.
      tiles: at least one.
      columns: maximum number of tiles per row.
      edge: approximate side of the square that each image is fitted into, in pixels.
      scale: (maximum, unit) of a color scale for `colormaps.diverging`; None: none.

    Returns:
      RGB image.
    """
    columns = min(columns, len(tiles))
    longest = max(max(tile.pixels.shape[:2]) for tile in tiles)
    if longest < 1.5 * edge:  # A whole factor: pixels stay squares of one size.
        edge = longest * max(1, round(edge / longest))
    aspect = max(tile.pixels.shape[0] / max(tile.pixels.shape[:2]) for tile in tiles)
    tile_height = round(edge * aspect)  # Below `edge` for landscapes.
    caption_height = max(len(tile.captions) for tile in tiles) * (_CAPTION + 4)
    step = (edge + _GAP, tile_height + caption_height + _GAP)
    width = max(_MIN_WIDTH, columns * step[0] + _GAP)
    if scale:
        unit_width = drawing.text_width(scale[1], _CAPTION)
        width = max(width, _SCALE[0] + unit_width + 3 * _GAP)
    notes = textwrap.wrap(note, int((width - 2 * _GAP) / (_TEXT * 0.53)))
    top = _GAP + _TITLE + 6 + len(notes) * (_TEXT + 5) + _GAP
    rows = -(-len(tiles) // columns)
    bottom = top + rows * step[1]
    image, draw = drawing.canvas(width, bottom + (_SCALE[1] + 30 if scale else 0))

    title = drawing.shorten(title, _TITLE, width - 2 * _GAP)
    draw.text((_GAP, _GAP), title, drawing.INK, drawing.font(_TITLE))
    for number, text in enumerate(notes):
        y = _GAP + _TITLE + 6 + number * (_TEXT + 5)
        draw.text((_GAP, y), text, drawing.FAINT, drawing.font(_TEXT))
    for number, tile in enumerate(tiles):
        x = _GAP + number % columns * step[0]
        y = top + number // columns * step[1]
        small = drawing.thumbnail(tile.pixels, edge)
        left, upper = (
            x + (edge - small.width) // 2,
            y + (tile_height - small.height) // 2,
        )
        image.paste(small, (left, upper))
        box = (left - 1, upper - 1, left + small.width, upper + small.height)
        draw.rectangle(box, outline=_BORDER)
        for line, text in enumerate(tile.captions):
            ink = drawing.FAINT if line else drawing.INK
            text = drawing.shorten(text, _CAPTION, edge)
            caption_y = y + tile_height + 3 + line * (_CAPTION + 4)
            draw.text((x, caption_y), text, ink, drawing.font(_CAPTION))
    if scale:
        _render_scale(image, draw, bottom, *scale)
    return image


def _render_scale(
    image: Image.Image, draw: ImageDraw.ImageDraw, top: int, maximum: float, unit: str
) -> None:
    width, height = _SCALE
    values = np.repeat(np.linspace(-maximum, maximum, width)[None], height, 0)
    strip = colormaps.diverging(values, maximum)
    image.paste(drawing.thumbnail(strip, width), (_GAP, top))
    draw.rectangle((_GAP - 1, top - 1, _GAP + width, top + height), outline=_BORDER)
    y, font = top + height + 3, drawing.font(_CAPTION)
    marks = ((-maximum, 0, 'la'), (0.0, width // 2, 'ma'), (maximum, width, 'ra'))
    for value, x, anchor in marks:
        text = f'{value:+.3g}' if value else '0'
        draw.text((_GAP + x, y), text, drawing.FAINT, font, anchor=anchor)
    draw.text((_GAP + width + 10, top - 1), unit, drawing.FAINT, font)
