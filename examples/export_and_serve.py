"""`export_saved_model`: a SavedModel from encoded images to class names.

    python -m examples.export_and_serve [DIRECTORY]

Decoding, resizing, normalization and the class names are inside the exported graph, and
the export is compared with its checkpoint in a fresh process before it appears. The
model_fn is one of `model_fns`, or another one with the same predictions. The second
half calls the model as TensorFlow Serving does, without this package. Prints the class
of an image. Takes about 20 seconds.
"""

import functools

from estimator_clf.compat import estimator

import tensorflow as tf

import input as data
from estimator_clf.export import export_saved_model
from examples.digits_model import run
from input.images.decode import decode
from model_fns import ModelSpec, make_model_fn


def export(directory: str) -> str:
    """Trains a linear classifier and exports it; returns the path of the export."""
    source = data.open_dataset('digits')
    info = source.info
    model_fn = make_model_fn(
        ModelSpec(
            'linear',
            num_classes=10,
            class_names=info.class_names,
            mean=info.mean,
            stddev=info.stddev,
        )
    )
    model = estimator.Estimator(model_fn, directory)
    train_input = source.input_fn('train', batch_size=64, training=True)
    model.train(train_input, max_steps=50)
    height, width, channels = info.image_shape
    return export_saved_model(
        model_fn,
        info,
        model.latest_checkpoint(),
        f'{directory}/export',
        functools.partial(decode, size=(height, width), channels=channels),
    )


def classify(path: str, image_bytes: list[bytes]) -> list[str]:
    """Returns the best class of each encoded image, with TensorFlow alone."""
    # `model` must stay alive: it owns the variables.
    model = tf.saved_model.load(path)
    outputs = model.signatures['serving_default'](image_bytes=tf.constant(image_bytes))
    return [names[0].decode() for names in outputs['classes'].numpy()]


def main(directory: str) -> None:
    """Exports to `directory`/export and classifies a PNG of a zero."""
    path = export(directory)
    source = data.open_dataset('digits')
    png = next(image for _, image, label in source.encoded('test') if label == 0)
    print(classify(path, [png]))


if __name__ == '__main__':
    run(main)
