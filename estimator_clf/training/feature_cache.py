"""What the frozen part of a network makes of each image, computed once.

In `MODEL_DIR/features/<key>/`, which appears all at once. The key is a hash of the
frozen part, its ops and its weights, and of what is read and how; so a run that goes on
finds its features, and another network's are never taken for them.
"""

import dataclasses
import errno
import hashlib
import json
import os
import shutil
import tempfile

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import numpy as np
import tensorflow as tf

from estimator_clf.config import config as configuration
from estimator_clf.core.atomic_files import PARTIAL
from estimator_clf.core.devices import session_config
from estimator_clf.core.signals import Stopped
from estimator_clf.core.variable_patterns import name_of
from input import augment
from input.sources.base import as_numpy_batches
from input.sources.cached_features import ARRAYS, FACTS, FeatureSet, check_augment

v1 = tf.compat.v1

DIRECTORY = 'features'


class FeatureCache:
    """The features of the splits of a run."""

    def __init__(
        self, config, source, model_fn, data_dependent_init, warm_start, say, stop=False
    ):
        """Makes the object; computes nothing yet.

        Args:
          config: `Config`.
          source: `input.sources.base.DataSource`.
          model_fn: of `model_fns.make_model_fn`, with its `frozen_backbone`.
          fitted: `DataDependentInitHook` of a run that begins, or None.
          warm_start: `WarmStartHook` of a run that begins, or None.
          say: function (text) for what a person should know.
          stop: `stopping.Stop`; once it is true, computing ends with
            `stopping.Stopped`.

        Raises:
          DataError: augmentation that does not go together with it.
        """
        self._config, self._source = config, source
        self._model_fn, self._say = model_fn, say
        self._fitted, self._warm_start, self._stop = (
            data_dependent_init,
            warm_start,
            stop,
        )
        self._variants = check_augment(augment.parse(config.augment))
        self._open = {}

    def training_input(self, replicas, start_step, time_input):
        """Computes what is not there yet; returns the input_fn of the training."""
        config = self._config
        found = self._features(config.train_split, True, self._variants)
        return found.training_input(
            config.batch_size,
            seed=config.seed,
            start_step=start_step,
            augment=config.augment,
            sampling=config.sampling,
            replicas=replicas,
            time_input=time_input,
        )

    def evaluation_input(self, input_fn, split):
        """Returns the input_fn of an evaluation with the features beside the images.

        They are computed when it is called.
        """

        def with_features():
            return self._features(split, False, 1).add_to(input_fn)()

        return with_features

    def _features(self, split, training, variants):
        if (split, training) not in self._open:
            directory = self._directory(split, training, variants)
            self._open[split, training] = FeatureSet.load(directory)
        return self._open[split, training]

    def _directory(self, split, training, variants):
        """Makes the features, if need be; returns their directory."""
        batch = self._config.eval_batch_size or self._config.batch_size
        pictures = self._source.input_fn(
            split, batch, eval_crop=self._config.eval_crop, with_index=True
        )
        shape = self._source.image_shape
        with tf.Graph().as_default() as graph:
            image = v1.placeholder(tf.uint8, [None, *shape], 'image')
            found = self._model_fn.frozen_backbone({'image': image}, training)
            variables = _variables_of(found)
            values = self._values(variables)
            facts = {'split': split, 'variants': variants, 'image_shape': list(shape)}
            key = self._key(graph, found, values, facts)
            parent = os.path.join(self._config.model_dir, DIRECTORY)
            directory = os.path.join(parent, f'{split.replace("/", "_")}-{key}')
            if os.path.isdir(directory):
                return directory
            _remove_partial(parent)
            self._say(
                f'`cache_features`: {split}, {self._source.num_examples[split]} '
                f'examples of {list(found.shape[1:])} numbers, once'
            )
            with v1.Session(config=session_config()) as session:
                session.run(
                    [v.initializer for v in variables],
                    {v.initial_value: values[name_of(v)] for v in variables},
                )

                def compute(images):
                    if self._stop:
                        raise Stopped(self._stop.requested)
                    return session.run(found, {image: images})

                size = self._source.num_examples[split]
                shape = (variants, size, *found.shape[1:].as_list())
                try:
                    _write(directory, compute, pictures, shape, facts)
                except BaseException:
                    _remove_partial(parent)
                    raise
        return directory

    def _values(self, variables):
        """dict name -> array: the frozen weights, which are those of every step."""
        latest = tf.train.latest_checkpoint(self._config.model_dir)
        names = [name_of(v) for v in variables]
        if latest:
            reader = tf.train.load_checkpoint(latest)
            return {name: reader.get_tensor(name) for name in names}
        with v1.Session(config=session_config()) as session:
            session.run([v.initializer for v in variables])
            values = dict(zip(names, session.run(variables), strict=True))
        if self._fitted:
            computed = self._fitted.values
            values.update((n, computed[n]) for n in names if n in computed)
        if self._warm_start:
            for name, value in self._warm_start.values(names).items():
                values[name] = np.asarray(value, values[name].dtype)
        return values

    def _key(self, graph, found, values, facts):
        digest = hashlib.sha256()
        part = v1.graph_util.extract_sub_graph(graph.as_graph_def(), [found.op.name])
        digest.update(part.SerializeToString(deterministic=True))
        for name in sorted(values):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(values[name]).tobytes())
        config = self._config
        data = {
            field.name: getattr(config, field.name)
            for field in dataclasses.fields(configuration.Config)
            if field.metadata['group'] == 'Data'
            and field.name not in ('augment', 'sampling', 'cache', 'max_corrupt_images')
        }
        facts = {
            **facts,
            'data': data,
            'seed': config.seed if config.examples_per_class else None,
            'examples': self._source.num_examples,
            'fingerprint': self._source.fingerprint(facts['split']),
            'classes': self._source.class_names,
        }
        digest.update(json.dumps(facts, sort_keys=True).encode())
        return digest.hexdigest()[:16]


def _variables_of(tensor):
    """The variables that a tensor is computed from."""
    part = v1.graph_util.extract_sub_graph(
        tensor.graph.as_graph_def(), [tensor.op.name]
    )
    names = {node.name for node in part.node}
    return [v for v in v1.global_variables() if v.handle.op.name in names]


def _write(directory, compute, input_fn, shape, facts):
    """Fills a directory of `FeatureSet`, which appears when it is whole.

    Args:
      directory: its path.
      compute: function from images, uint8 [b, H, W, C], to features [b, …].
      input_fn: of the examples in natural order.
      shape: of the features, [variants, examples, …]; there may be fewer examples,
        where some cannot be read.
      facts: what is written beside them.
    """
    parent = os.path.dirname(directory)
    os.makedirs(parent, exist_ok=True)
    partial = tempfile.mkdtemp(dir=parent, prefix=PARTIAL)
    path = os.path.join(partial, 'features.npy')
    # On the disk at once: they may be more than the memory holds.
    rows = np.lib.format.open_memmap(path, 'w+', np.float32, shape)
    # A full disk is an error here. Later it would be a signal that kills the process.
    if hasattr(os, 'posix_fallocate'):
        with open(path, 'r+b') as file:
            try:
                os.posix_fallocate(file.fileno(), 0, os.path.getsize(path))
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                    raise  # Others: not every file system can do it.
    count, others = 0, {name: [] for name in ARRAYS[1:]}
    for features, labels in as_numpy_batches(input_fn):
        images = features['image']
        for variant in range(shape[0]):
            turned = images[:, :, ::-1] if variant else images
            rows[variant, count : count + len(images)] = compute(turned)
        count += len(images)
        others['labels'].append(labels)
        others['keys'].append(features['key'].astype(bytes))
        others['index'].append(features['index'])
    rows.flush()
    if count < shape[1]:
        _save(f'{path}.fewer', rows[:, :count])  # NumPy writes it piece by piece.
        os.replace(f'{path}.fewer', path)
    del rows
    for name, parts in others.items():
        _save(os.path.join(partial, f'{name}.npy'), np.concatenate(parts))
    with open(os.path.join(partial, FACTS), 'w', encoding='utf-8') as file:
        json.dump(facts, file)
    os.rename(partial, directory)


def _save(path, array):
    with open(path, 'wb') as file:
        np.save(file, array)
        file.flush()
        os.fsync(file.fileno())


def _remove_partial(parent):
    if os.path.isdir(parent):
        for name in os.listdir(parent):
            if name.startswith(PARTIAL):
                shutil.rmtree(os.path.join(parent, name), ignore_errors=True)
