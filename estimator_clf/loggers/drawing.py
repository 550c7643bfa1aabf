"""Renders text and thumbnails with Pillow."""

import functools
from collections.abc import Sequence
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

INK = (32, 33, 36)
FAINT = (110, 115, 122)


@functools.cache
def font(size: float) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Returns Pillow's built-in font, so that output is the same on every machine.

    It has Latin, Greek and Cyrillic letters; others are rendered as boxes.

    Args:
      size: in pixels.
    """
    return ImageFont.load_default(size)


def text_width(text: str, size: float) -> int:
    """Returns the width of a line in pixels."""
    return int(np.ceil(font(size).getlength(text)))


def shorten(
    text: str, size: float, width: float, keep: Literal['start', 'end'] = 'start'
) -> str:
    """Truncates a line to a width.

    Args:
      text: the line.
      size: of the font.
      width: maximum width in pixels.
      keep: the end to retain; 'end' suits paths.

    Returns:
      The line, or its start or end with '…'.
    """
    text = ' '.join(text.split())
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + '…', size) > width:
        text = text[:-1] if keep == 'start' else text[1:]
    return text + '…' if keep == 'start' else '…' + text


def canvas(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Returns a white image and its `ImageDraw`."""
    image = Image.new('RGB', (width, height), 'white')
    return image, ImageDraw.Draw(image)


def upright(
    image: Image.Image,
    x: int,
    bottom: int,
    text: str,
    size: int,
    ink: tuple[int, int, int] = INK,
) -> None:
    """Renders a line of text upwards, centered on x, starting at `bottom`."""
    width, height = text_width(text, size) + 2, size + 4
    label, draw = canvas(width, height)
    draw.text((0, height // 2), text, ink, font(size), anchor='lm')
    label = label.transpose(Image.Transpose.ROTATE_90)
    image.paste(label, (x - height // 2, bottom - width))


def grid(
    images: np.ndarray | Sequence[np.ndarray], edge: int, columns: int
) -> Image.Image:
    """Arranges images in rows, the first at the top left.

    Args:
      images: uint8 or floating [N, H, W, C], see `thumbnail`.
      edge: side of the square of each image, in pixels.
      columns: number of images per row.

    Returns:
      An RGB image.
    """
    lines = -(-len(images) // columns)
    columns = min(columns, len(images))
    image, _ = canvas(columns * edge, lines * edge)
    for number, pixels in enumerate(images):
        small = thumbnail(pixels, edge)
        x, y = number % columns * edge, number // columns * edge
        image.paste(
            small, (x + (edge - small.width) // 2, y + (edge - small.height) // 2)
        )
    return image


def thumbnail(pixels: np.ndarray, edge: int) -> Image.Image:
    """Resizes an image to fit into a square.

    Args:
      pixels: uint8 or floating [H, W, C] in units 0..255, C 1 or 3.
      edge: side of the square, in pixels.

    Returns:
      An RGB image. Small images are enlarged by whole factors, so that each of their
      pixels stays a square.
    """
    pixels = np.clip(np.round(pixels), 0, 255).astype(np.uint8)
    pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    image = Image.fromarray(pixels).convert('RGB')
    longest = max(image.size)
    if longest <= edge:
        factor = edge // longest
        size = (image.width * factor, image.height * factor)
        return image.resize(size, Image.Resampling.NEAREST)
    scale = edge / longest
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)
