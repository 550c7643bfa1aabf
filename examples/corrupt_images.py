"""`CorruptImages`: skips images that cannot be decoded, and names them.

    python -m examples.corrupt_images [DIRECTORY]

Training replaces a corrupt image by another one of the same batch, and stops when there
are more than the limit. Prints the path of the corrupt image and their number. Takes
seconds.
"""

import os

from estimator_clf.compat import estimator  # noqa: F401  Before TensorFlow.

import tensorflow as tf

import input as data
from estimator_clf.hooks.checkpoint import CheckpointHook
from examples.digits_model import images, make_estimator, run
from input.corrupt_images import CorruptImages


def write_images(directory: str) -> None:
    """Writes 40 PNGs in two classes; one is truncated."""
    for number, image in enumerate(images[:40]):
        class_dir = f'{directory}/{"odd" if number % 2 else "even"}'
        os.makedirs(class_dir, exist_ok=True)
        png = tf.io.encode_png(image * 16).numpy()
        with open(f'{class_dir}/{number}.png', 'wb') as file:
            file.write(png if number != 7 else png[:-20])


def main(directory: str) -> None:
    """Trains 10 steps in `directory`/run on the images in `directory`/images."""
    data_dir, model_dir = f'{directory}/images', f'{directory}/run'
    write_images(data_dir)
    source = data.open_dataset('image_folder', data_dir=data_dir)
    source.corrupt_images = CorruptImages(
        3, lambda key, reason: print(os.path.relpath(key, directory))
    )
    input_fn = source.input_fn('train', batch_size=20, training=True)
    saver = CheckpointHook(model_dir, every=[10])
    make_estimator(model_dir).train(input_fn, hooks=[saver], max_steps=10)
    print(len(source.corrupt_images))


if __name__ == '__main__':
    run(main)
