"""Text and small images on a canvas."""

import functools

import numpy as np
from PIL import Image, ImageDraw, ImageFont

INK = (32, 33, 36)
FAINT = (110, 115, 122)


@functools.cache
def font(size):
    """Returns Pillow's own font, so that it looks alike on every machine.

    It has Latin, Greek and Cyrillic letters; others show as boxes.

    Args:
      size: in pixels.
    """
    return ImageFont.load_default(size)


def text_width(text, size):
    """Returns the width of a line in pixels."""
    return int(np.ceil(font(size).getlength(text)))


def shorten(text, size, width, keep='start'):
    """Cuts a line to a width.

    Args:
      text: str.
      size: of the font.
      width: in pixels.
      keep: 'start', or 'end', as of a path.

    Returns:
      The line, or its start or end with '…'.
    """
    text = ' '.join(text.split())
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + '…', size) > width:
        text = text[:-1] if keep == 'start' else text[1:]
    return text + '…' if keep == 'start' else '…' + text


def canvas(width, height):
    """Returns a white image and what draws on it."""
    picture = Image.new('RGB', (width, height), 'white')
    return picture, ImageDraw.Draw(picture)


def upright(picture, x, bottom, text, size, ink=INK):
    """Writes a line upwards, centred on x, that begins at `bottom`."""
    width, height = text_width(text, size) + 2, size + 4
    label, draw = canvas(width, height)
    draw.text((0, height // 2), text, ink, font(size), anchor='lm')
    label = label.transpose(Image.Transpose.ROTATE_90)
    picture.paste(label, (x - height // 2, bottom - width))


def grid(images, edge, columns):
    """Lays images out in lines, the first at the top left.

    Args:
      images: uint8 or floating [N, H, W, C], see `thumbnail`.
      edge: of the square of each, in pixels.
      columns: how many in a line.

    Returns:
      `PIL.Image.Image`, RGB.
    """
    lines = -(-len(images) // columns)
    columns = min(columns, len(images))
    picture, _ = canvas(columns * edge, lines * edge)
    for number, pixels in enumerate(images):
        small = thumbnail(pixels, edge)
        x, y = number % columns * edge, number // columns * edge
        picture.paste(
            small, (x + (edge - small.width) // 2, y + (edge - small.height) // 2)
        )
    return picture


def thumbnail(pixels, edge):
    """Makes an image that fills a square at one side at least.

    Args:
      pixels: uint8 or floating [H, W, C] in units 0..255, C 1 or 3.
      edge: of the square, in pixels.

    Returns:
      `PIL.Image.Image`, RGB. Small images grow by whole factors, so that each of
      their pixels stays a square.
    """
    pixels = np.clip(np.round(pixels), 0, 255).astype(np.uint8)
    pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    picture = Image.fromarray(pixels).convert('RGB')
    longest = max(picture.size)
    if longest <= edge:
        factor = edge // longest
        size = (picture.width * factor, picture.height * factor)
        return picture.resize(size, Image.Resampling.NEAREST)
    scale = edge / longest
    size = tuple(max(1, round(side * scale)) for side in picture.size)
    return picture.resize(size, Image.Resampling.LANCZOS)
