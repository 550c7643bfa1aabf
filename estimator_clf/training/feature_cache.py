"""Cached features: the output of a network's frozen part, computed once per image.

They are in `MODEL_DIR/features/<key>/`, which appears atomically. The key is a hash of
the frozen part, its ops and its weights, and of the data and how it is read: a resumed
run finds its features, and never uses those of another network or other data.
"""

import dataclasses
import errno
import hashlib
import json
import os
from collections.abc import Callable
from typing import Any

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import numpy as np
import tensorflow as tf

from estimator_clf.config.config import Config
from estimator_clf.core.atomic_files import partial_directory
from estimator_clf.core.hardware.devices import session_config
from estimator_clf.core.signals import Stop, Stopped
from estimator_clf.core.variable_patterns import name_of
from estimator_clf.training.data_dependent_init import DataDependentInitHook
from estimator_clf.warm_start.hook import WarmStartHook
from input import augment
from input.sources.base import DataSource, as_numpy_batches
from input.sources.cached_features import ARRAYS, FACTS, FeatureSet, check_augment

v1 = tf.compat.v1

DIRECTORY = 'features'


class FeatureCache:
    """The cached features of the splits of a run."""

    def __init__(
        self,
        config: Config,
        source: DataSource,
        model_fn: Any,
        init_hook: DataDependentInitHook | None,
        warm_start: WarmStartHook | None,
        log_message: Callable[[str], None],
        stop: Stop | None = None,
        label: str = '`cache_features`',
    ):
        """Makes the cache; computes nothing yet.

        Args:
          config: settings of the run.
          source: `input.sources.base.DataSource` of its data.
          model_fn: of `model_fns.make_model_fn`, with its `frozen_backbone`.
          init_hook: data-dependent initial weights of a new run, or None.
          warm_start: restored initial weights of a new run, or None.
          log_message: receives messages for the user.
          stop: once it is requested, the computation ends with `Stopped`.
          label: start of the messages.

        Raises:
          DataError: augmentation that cannot be used with cached features.
        """
        self._config, self._source = config, source
        self._model_fn, self._log_message = model_fn, log_message
        self._init_hook, self._warm_start = init_hook, warm_start
        self._label = label
        # Not `or`: a `Stop` is false until it is requested.
        self._stop = Stop() if stop is None else stop
        self._variants = check_augment(augment.parse(config.data.augment))
        self._open: dict[tuple[str, bool, int], FeatureSet] = {}

    def training_input(
        self, replicas: int, start_step: int | Callable[[], int], time_input: bool
    ) -> Callable:
        """Computes missing features; returns the input_fn of training."""
        config = self._config
        found = self._features(config.data.train_split, True, self._variants)
        return found.training_input(
            config.batch_size,
            seed=config.run.seed,
            start_step=start_step,
            augment=config.data.augment,
            sampling=config.data.sampling,
            replicas=replicas,
            time_input=time_input,
        )

    def evaluation_input(self, input_fn: Callable, split: str) -> Callable:
        """Returns the input_fn of an evaluation, with features added to the images.

        They are computed when it is called.
        """

        def with_features():
            return self._features(split, False, 1).add_to(input_fn)()

        return with_features

    def feature_set(self, split: str, variants: int = 1) -> FeatureSet:
        """Returns the features of a split in natural order, computed as in evaluation.

        Args:
          split: name of the split.
          variants: 1: the images; 2: the images and their mirror images.
        """
        return self._features(split, False, variants)

    def _features(self, split, training, variants):
        key = split, training, variants
        if key not in self._open:
            directory = self._directory(split, training, variants)
            self._open[key] = FeatureSet.load(directory)
        return self._open[key]

    def _directory(self, split, training, variants):
        """Computes the features if they are missing; returns their directory."""
        config = self._config
        input_fn = self._source.input_fn(
            split,
            config.eval_batch_size,
            eval_crop=config.data.eval_crop,
            with_index=True,
        )
        shape = self._source.image_shape
        with tf.Graph().as_default() as graph:
            image = v1.placeholder(tf.uint8, [None, *shape], 'image')
            found = self._model_fn.frozen_backbone({'image': image}, training)
            variables = _variables_of(found)
            values = self._values(variables)
            facts = {'split': split, 'variants': variants, 'image_shape': list(shape)}
            key = self._key(graph, found, values, facts)
            parent = os.path.join(config.run.model_dir, DIRECTORY)
            directory = os.path.join(parent, f'{split.replace("/", "_")}-{key}')
            if os.path.isdir(directory):
                return directory
            self._log_message(
                f'{self._label}: computing the features of {split}, '
                f'{self._source.num_examples[split]} examples of '
                f'{list(found.shape[1:])} numbers, once'
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
                os.makedirs(parent, exist_ok=True)
                with partial_directory(parent) as partial:
                    _write(partial, compute, input_fn, shape, facts)
                    os.rename(partial, directory)
        return directory

    def _values(self, variables):
        """dict name -> array: the frozen weights, the same at every step."""
        latest = tf.train.latest_checkpoint(self._config.run.model_dir)
        names = [name_of(v) for v in variables]
        if latest:
            reader = tf.train.load_checkpoint(latest)
            return {name: reader.get_tensor(name) for name in names}
        with v1.Session(config=session_config()) as session:
            session.run([v.initializer for v in variables])
            values = dict(zip(names, session.run(variables), strict=True))
        if self._init_hook:
            computed = self._init_hook.values
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
        data = dataclasses.asdict(config.data)
        for name in ('augment', 'sampling', 'cache', 'max_corrupt_images'):
            del data[name]
        facts = {
            **facts,
            'data': data,
            'seed': config.run.seed if config.data.examples_per_class else None,
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


def _write(partial, compute, input_fn, shape, facts):
    """Writes the directory of a `FeatureSet`.

    Args:
      partial: its path until it is complete.
      compute: function from images, uint8 [b, H, W, C], to features [b, ...].
      input_fn: input_fn of the examples in natural order.
      shape: shape of the features, [variants, examples, ...]; fewer examples are
        written where some images are corrupt.
      facts: JSON values to write next to them.
    """
    path = os.path.join(partial, 'features.npy')
    # Directly on disk: they may exceed the memory.
    rows = np.lib.format.open_memmap(path, 'w+', np.float32, shape)
    # A full disk is an error here; later it would be a signal that kills the process.
    if hasattr(os, 'posix_fallocate'):
        with open(path, 'r+b') as file:
            try:
                os.posix_fallocate(file.fileno(), 0, os.path.getsize(path))
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                    raise  # Other errors: not every file system supports it.
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
        _save(f'{path}.fewer', rows[:, :count])  # NumPy writes it in chunks.
        os.replace(f'{path}.fewer', path)
    del rows
    for name, parts in others.items():
        _save(os.path.join(partial, f'{name}.npy'), np.concatenate(parts))
    with open(os.path.join(partial, FACTS), 'w', encoding='utf-8') as file:
        json.dump(facts, file)


def _save(path, array):
    with open(path, 'wb') as file:
        np.save(file, array)
        file.flush()
        os.fsync(file.fileno())
