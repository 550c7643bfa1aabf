"""Small generated images, encoded in every way that people's directories hold."""

import io
import os

import numpy as np
from PIL import Image


def pixels(height=11, width=14, channels=3, seed=0):
    """A smooth image, uint8 [height, width, channels]: JPEG keeps it roughly."""
    steps = np.random.default_rng(seed).normal(0, 3, (height, width, channels))
    smooth = np.cumsum(np.cumsum(steps, 0), 1) + 128
    return np.clip(smooth, 0, 255).astype(np.uint8)


def image(mode='RGB', height=11, width=14, seed=0):
    """A PIL image of `pixels`, in one of Pillow's modes."""
    rgb = Image.fromarray(pixels(height, width, 3, seed))
    if mode == 'P':
        return rgb.convert('P', palette=Image.Palette.ADAPTIVE)
    if mode == 'I;16':
        wide = np.random.default_rng(seed).integers(0, 1 << 16, (height, width))
        return Image.fromarray(wide.astype(np.uint16))
    if mode in ('LA', 'RGBA'):
        alpha = pixels(height, width, 1, seed + 1)[..., 0]
        result = rgb.convert(mode)
        result.putalpha(Image.fromarray(alpha))
        return result
    return rgb.convert(mode)


def encode(image, kind, **options):
    """Encodes a PIL image or an array, as 'JPEG', 'PNG', 'GIF' or 'BMP'."""
    if isinstance(image, np.ndarray):
        image = image[..., 0] if image.shape[-1] == 1 else image
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def by_pillow(data, mode='RGB'):
    """Decodes with Pillow: uint8 [height, width, channels]; transparency dropped."""
    decoded = Image.open(io.BytesIO(data))
    decoded.seek(0)
    array = np.array(decoded.convert('RGB').convert(mode))
    return array[..., None] if array.ndim == 2 else array


def write(path, data):
    """Writes bytes, with the directories that this takes; returns the path as str."""
    os.makedirs(os.path.dirname(os.fspath(path)), exist_ok=True)
    with open(path, 'wb') as file:
        file.write(data)
    return os.fspath(path)


def numbered_png(number, size=8):
    """An image from whose every pixel its number can be read."""
    return encode(np.full([size, size, 3], number, np.uint8), 'PNG')


def class_directories(root, counts, size=8):
    """Writes `counts` = {'cats': 3, …} numbered PNGs; all of them in order."""
    paths, number = [], 0
    for name, count in counts.items():
        for k in range(count):
            path = os.path.join(root, name, f'{k:03d}.png')
            paths.append(write(path, numbered_png(number, size)))
            number += 1
    return paths


def refuse_to_list(monkeypatch, name):
    """Lets no directory of a name be listed, as that of another user."""
    scandir = os.scandir

    def refused(path):
        if os.path.basename(path) == name:
            raise PermissionError(13, 'Permission denied', path)
        return scandir(path)

    monkeypatch.setattr(os, 'scandir', refused)
