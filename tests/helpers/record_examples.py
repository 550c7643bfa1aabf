"""Small TFRecord files for tests."""

import io
import os

import numpy as np
import tensorflow as tf
from PIL import Image


def png(number, size=6, channels=3):
    """An encoded image of `size` x `size` whose first pixels spell `number`."""
    pixels = np.full([size, size, channels], number % 251, np.uint8)
    pixels[0, 0] = number // 251 % 256
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(buffer, 'PNG')
    return buffer.getvalue()


def example(**features):
    """Serializes a tf.train.Example; in names, `__` stands for a slash."""
    content = {}
    for name, value in features.items():
        if isinstance(value, bytes):
            feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        elif isinstance(value, float):
            feature = tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
        else:
            feature = tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        content[name.replace('__', '/')] = feature
    return tf.train.Example(
        features=tf.train.Features(feature=content)
    ).SerializeToString()


def labelled(number, num_classes=3, offset=0):
    """The usual features: image, label and text; the classes are c0, c1, …"""
    label = number % num_classes
    return example(
        image__encoded=png(number),
        image__class__label=label + offset,
        image__class__text=f'c{label}'.encode(),
    )


def write_shard(path, records, compression=''):
    """Writes one file."""
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in records:
            writer.write(record)
    return str(path)


def write_split(directory, split, count, shards=2, start=0, compression='', **options):
    """Writes `count` examples of `labelled`, spread over shards in turns."""
    os.makedirs(directory, exist_ok=True)
    numbers = range(start, start + count)
    return [
        write_shard(
            os.path.join(directory, f'{split}-{k:05d}-of-{shards:05d}'),
            [labelled(n, **options) for n in numbers[k::shards]],
            compression,
        )
        for k in range(shards)
    ]


def flip_bit(path, position):
    """Flips the lowest bit of one byte of a file; from the end if negative."""
    with open(path, 'r+b') as file:
        file.seek(position, os.SEEK_END if position < 0 else os.SEEK_SET)
        place = file.tell()
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1]))
