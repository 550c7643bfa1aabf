"""An export with images and the predictions of its checkpoint."""

import os

from estimator_clf.compat import estimator

import input as data
from estimator_clf.export import check_examples, export_saved_model
from input.images.batch_decoder import BatchDecoder
from model_fns import ModelSpec, make_model_fn
from tests.helpers.images import write
from tests.helpers.real_data import real_data

PHOTOS = 400  # In the slow tests.


class Model:
    """An export with images and the predictions of its checkpoint."""

    def __init__(self, directory, source, model_fn, count, **options):
        info = source.info
        split = 'test' if 'test' in source.num_examples else 'validation'
        model = estimator.Estimator(model_fn, os.path.join(directory, 'model'))
        train = source.input_fn('train', 9, training=True)
        model.train(train, max_steps=30)
        checkpoint = model.latest_checkpoint()
        self.source, self.info = source, info
        self.model_fn, self.checkpoint = model_fn, checkpoint
        self.path = export_saved_model(
            model_fn,
            info,
            checkpoint,
            os.path.join(directory, 'export'),
            BatchDecoder(info.image_shape[:2], info.image_shape[2]),
            examples=check_examples.from_source(source, split, 3),
            **options,
        )
        self.samples = check_examples.from_source(source, split, count)
        self.wanted = check_examples.predict(model_fn, checkpoint, self.samples)
        self.images = [sample.encoded for sample in self.samples]
        self.directory = directory

    def tensors(self, signature):
        """Names of the tensors of input, classes and scores."""
        from tensorflow.python.tools import saved_model_utils

        meta = saved_model_utils.get_meta_graph_def(self.path, 'serve')
        found = meta.signature_def[signature]
        (tensor,) = found.inputs.values()
        return tensor.name, found.outputs['classes'].name, found.outputs['scores'].name

    def files(self, contents):
        """Writes files; returns their paths."""
        directory = os.path.join(self.directory, 'files')
        return [
            write(os.path.join(directory, str(number)), content)
            for number, content in enumerate(contents)
        ]


def of_photos(directory, **options):
    """The `Model` of real photos of all sizes, hardly trained."""
    photos = data.open_dataset(
        'image_folder', data_dir=real_data('dogscats'), image_size='64'
    )
    model_fn = make_model_fn(
        ModelSpec(
            'cnn',
            num_classes=2,
            class_names=photos.info.class_names,
            mean=photos.info.mean,
            stddev=photos.info.stddev,
        )
    )
    return Model(directory, photos, model_fn, PHOTOS, **options)
