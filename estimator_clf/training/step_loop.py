"""Many training steps in one `session.run`: a loop in the graph.

A step of a small network takes less time than Python, the session and the hooks take
around it. Here the train_op is a loop that draws from the input's iterator itself,
takes steps until it is told to come back, and tells the hooks what each of them was.

    loop = Loop()
    model = estimator.Estimator(loop.model_fn(model_fn), model_dir)
    hooks = [loop.hook(1000, every=[100]), CheckpointHook(model_dir, every=[100])]
    model.train(loop.input_fn(input_fn), hooks=hooks, max_steps=1000)

The steps, their order and their arithmetic are those of one step at a time.
"""

import contextlib

from estimator_clf.compat import estimator

import tensorflow as tf

from estimator_clf.core.graph_collections import (
    EXAMPLE_IMAGES,
    EXAMPLE_KEYS,
    STEP_LOOP,
    TRAIN_METRICS,
    NamedTensor,
)
from estimator_clf.hooks.step_loop import StepLoopHook

v1 = tf.compat.v1

# How long a loop may keep a signal, or the progress bar, waiting.
SECONDS = 1.0


class StepLoop:
    """The loop of one training; makes its input_fn, its model_fn and its first hook.

    What hooks fetch must come out of the loop, so it goes through the collections of
    `instrument`: in `TRAIN_METRICS` each metric is a vector, a number per step, with
    'input_wait' among them; `EXAMPLE_IMAGES` has the images of the last step; `EXAMPLE_KEYS` a ragged
    tensor, a row per step. What else the model_fn puts into collections (its
    summaries, say) lies inside the loop, where no session can fetch it, and is dropped,
    as are hooks that it returns. The loop ends behind a step whose loss is not finite.

    The model_fn must make its variables so that `tf.init_scope` can lift them out of
    the loop. `get_variable`, `tf.Variable` and optimizers do, unless they are to begin
    with something that is computed from the batch.

    Attributes:
      step: the step that the training has come to, as `hook` keeps it.
      runs: how many runs of this session that took.
      count: int32 scalar to be fed: how many steps the next run may take.
      done: int32 scalar to be fed: how many this session has taken.
      taken: int32 scalar: how many the run took.
    """

    def __init__(self, seconds=SECONDS, keys=False, pack=1):
        """Makes the loop.

        Args:
          seconds: it comes back after the first step that ends so late.
          keys: whether to hand out `EXAMPLE_KEYS`.
          pack: how many steps' batches an element of the dataset holds, all of its
            tensors having one more dimension in front. Each costs a hop from thread to
            thread, which is more than a step of the smallest networks.
        """
        self._seconds = seconds
        self._keys = keys
        self._pack = pack
        self.step, self.runs = 0, 0

    @property
    def name(self):
        """Name of a tensor, so that a MetaGraphDef can hold what holds this."""
        return self.taken.name

    def hook(self, last_step, every=(), alone=None, most=None):
        """Makes the hook that says how many steps to take; it must be the first hook.

        Args:
          last_step: the step at which the training ends: the `max_steps` of `train`.
          every: list of intervals in steps, see `estimator_clf.core.intervals.due`:
          where
            something is to happen behind a step, a loop ends.
          alone: function (step) -> whether that step must have a run of its own.
          most: the most steps of a run; None: any number.
        """
        return StepLoopHook(self, last_step, every, alone, most)

    def input_fn(self, input_fn):
        """Wraps an input_fn so that the loop can draw from its dataset.

        A run in the middle of which the dataset ends has taken its steps, but their
        metrics are lost.

        Args:
          input_fn: function without arguments that returns a tf.data.Dataset.
        """

        def wrapped():
            iterator = v1.data.make_initializable_iterator(input_fn())
            v1.add_to_collection(v1.GraphKeys.TABLE_INITIALIZERS, iterator.initializer)
            return iterator, None

        return wrapped

    def model_fn(self, model_fn):
        """Wraps a model_fn; only training changes.

        Args:
          model_fn: function (features, labels, mode) -> EstimatorSpec.
        """

        def wrapped(features, labels, mode):
            if mode != estimator.ModeKeys.TRAIN:
                return model_fn(features, labels, mode=mode)
            return self._spec(model_fn, features)

        return wrapped

    def _spec(self, model_fn, iterator):
        self.count = v1.placeholder_with_default(1, ())
        self.done = v1.placeholder_with_default(0, ())
        deadline = tf.timestamp() + self._seconds
        draw = _packed(iterator, self._pack) if self._pack > 1 else _single(iterator)
        out = _Out(iterator.element_spec, self._pack, self._keys, self.count)

        def body(taken, go_on, values):
            del go_on
            (features, labels), wait = draw(self.done + taken)
            with _taken_out_of_collections() as found:
                spec = model_fn(features, labels, mode=estimator.ModeKeys.TRAIN)
            found[TRAIN_METRICS] = [*found.get(TRAIN_METRICS, ()), ('input_wait', wait)]
            values, shown = out.written(values, taken, spec.loss, found)
            # All that the step does and tells, before the next one begins: it must
            # read no variable that the next one has written.
            with tf.control_dependencies([spec.train_op, *shown]):
                late = tf.timestamp() >= deadline
                taken += 1
            more = tf.logical_and(taken < self.count, tf.logical_not(late))
            more = tf.logical_and(more, tf.math.is_finite(spec.loss))
            return taken, more, values

        self.taken, _, values = tf.while_loop(
            lambda taken, go_on, values: go_on,
            body,
            (tf.constant(0), tf.constant(True), out.start),
            shape_invariants=(tf.TensorShape([]), tf.TensorShape([]), out.shapes),
            parallel_iterations=1,
        )
        v1.add_to_collection(STEP_LOOP, self)
        loss = out.collect(values, self.taken)
        return estimator.EstimatorSpec(
            estimator.ModeKeys.TRAIN, loss=loss, train_op=self.taken.op
        )


class _Out:
    """What comes out of the loop besides the number of its steps."""

    def __init__(self, element_spec, pack, keys, count):
        """Finds out what there is.

        Args:
          element_spec: of the dataset.
          pack: see `StepLoop`.
          keys: see `StepLoop`.
          count: the most steps of the run.

        Attributes:
          start: dict of the loop's variables.
          shapes: dict of their shapes.
        """

        def spec_of(name):
            found = _pair(element_spec)[0]
            found = found.get(name) if isinstance(found, dict) else None
            if found is None or pack == 1:
                return found
            return tf.TensorSpec(found.shape[1:], found.dtype)

        def array(dtype):
            return tf.TensorArray(dtype, count, infer_shape=False)

        images = spec_of('image')
        self._keys = keys and spec_of('key')
        self._names = []
        self.start = {'metrics': array(tf.float64)}
        self.shapes = {'metrics': tf.TensorShape(None)}
        if self._keys:
            # It grows, so that what no step has written is not read in the end.
            every = tf.TensorArray(
                self._keys.dtype, 0, True, infer_shape=False, element_shape=[None]
            )
            self.start.update(keys=every, sizes=array(tf.int64))
            self.shapes.update(keys=tf.TensorShape(None), sizes=tf.TensorShape(None))
        if images is not None:
            shape = [n or 0 for n in images.shape]
            self.start['images'] = tf.zeros(shape, images.dtype)
            self.shapes['images'] = images.shape

    def written(self, values, taken, loss, found):
        """Adds a step to the loop's variables.

        Returns:
          The variables, and the list of what was added.
        """
        self._names = [name for name, _ in found[TRAIN_METRICS]]
        row = [loss, *(tensor for _, tensor in found[TRAIN_METRICS])]
        row = [tf.cast(tensor, tf.float64) for tensor in row]
        values = dict(values, metrics=values['metrics'].write(taken, tf.stack(row)))
        if self._keys:
            keys = found[EXAMPLE_KEYS][0]
            size = tf.size(keys, tf.int64)
            values['keys'] = values['keys'].write(taken, keys)
            values['sizes'] = values['sizes'].write(taken, size)
        if 'images' in values and EXAMPLE_IMAGES in found:
            values['images'] = found[EXAMPLE_IMAGES][0]
        return values, row

    def collect(self, values, taken):
        """Puts all into the graph's collections; returns the last step's loss."""
        table = values['metrics'].stack()[:taken]
        table.set_shape([None, 1 + len(self._names)])
        for column, name in enumerate(self._names, 1):
            v1.add_to_collection(TRAIN_METRICS, NamedTensor(name, table[:, column]))
        if 'images' in values:
            v1.add_to_collection(EXAMPLE_IMAGES, values['images'])
        if self._keys:
            sizes = values['sizes'].stack()[:taken]
            keys = values['keys'].concat()
            rows = tf.RaggedTensor.from_row_lengths(keys, sizes, validate=False)
            v1.add_to_collection(EXAMPLE_KEYS, rows)
        return tf.cast(table[-1, 0], tf.float32)


def _single(iterator):
    """Returns the function step -> ((features, labels), seconds waited for them)."""

    def draw(step):
        del step
        return _timed(iterator)

    return draw


def _timed(iterator):
    before = tf.timestamp()
    with tf.control_dependencies([before]):
        element = iterator.get_next()
    with tf.control_dependencies(tf.nest.flatten(element, expand_composites=True)):
        after = tf.timestamp()
    # Nobody gets the element before the clock is read: a thread with a step's work
    # before it would read the clock last.
    with tf.control_dependencies([after]):
        element = tf.nest.map_structure(tf.identity, element, expand_composites=True)
    return _pair(element), after - before


def _packed(iterator, pack):
    """Like `_single`, of a dataset whose elements hold the batches of several steps.

    Between two runs the element is in variables: a run may end in the middle of one.
    """
    spec = iterator.element_spec
    kept = [
        v1.get_variable(
            f'steps_per_loop/element{number}',
            initializer=tf.zeros([n or 0 for n in part.shape], part.dtype),
            trainable=False,
            collections=[v1.GraphKeys.LOCAL_VARIABLES],
            use_resource=True,
        )
        for number, part in enumerate(tf.nest.flatten(spec))
    ]

    def draw(step):
        place = step % pack

        def fill():
            (features, labels), wait = _timed(iterator)
            parts = tf.nest.flatten((features, labels))
            ops = [
                v.assign(t, read_value=False) for v, t in zip(kept, parts, strict=True)
            ]
            with tf.control_dependencies(ops):
                return tf.identity(wait)

        wait = tf.cond(tf.equal(place, 0), fill, lambda: tf.constant(0.0, tf.float64))
        with tf.control_dependencies([wait]):
            parts = [v.read_value()[place] for v in kept]
        return _pair(tf.nest.pack_sequence_as(spec, parts)), wait

    return draw


@contextlib.contextmanager
def _taken_out_of_collections():
    """Keeps what lies inside the loop out of the collections of the graph around it.

    The two share their collections, and others would fetch what they find there.

    Yields:
      dict name -> list of what was taken out, filled at the end.
    """
    graph = v1.get_default_graph()
    before = {name: len(graph.get_collection(name)) for name in graph.collections}
    found = {}
    yield found
    for name in list(graph.collections):
        items = graph.get_collection_ref(name)
        new = items[before.get(name, 0) :]
        inside = [item for item in new if _graph(item) is graph]
        if inside:
            found[name] = inside
            items[:] = [item for item in items if not any(item is x for x in inside)]


def _graph(item):
    """The graph of a tensor, op, variable or pair of name and tensor; or None."""
    if isinstance(item, tuple):
        item = item[-1]
    return getattr(item, 'graph', None)


def _pair(element):
    """(features, labels) of an element of a dataset, as Estimator takes it apart."""
    if isinstance(element, (tuple, list)) and len(element) == 2:
        return tuple(element)
    return element, None
