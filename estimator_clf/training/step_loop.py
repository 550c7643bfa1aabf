"""Runs many training steps per `session.run`, as a loop in the graph.

A step of a small network takes less time than Python, the session and the hooks take
around it. Here the train_op is a loop that fetches from the input's iterator itself,
runs steps until it must return, and reports to the hooks what each of them was.

    loop = StepLoop()
    model = estimator.Estimator(loop.model_fn(model_fn), model_dir)
    hooks = [loop.hook(1000, every=[100]), CheckpointHook(model_dir, every=[100])]
    model.train(loop.input_fn(input_fn), hooks=hooks, max_steps=1000)

The steps, their order and their arithmetic are those of one step at a time.
"""

from collections.abc import Callable, Sequence

from estimator_clf.compat import estimator

import tensorflow as tf

from estimator_clf.config.config import Config
from estimator_clf.config.step_plan import StepPlan
from estimator_clf.core import intervals
from estimator_clf.core.graph_collections import STEP_LOOP, TRAIN_METRICS, NamedTensor
from estimator_clf.hooks.step_loop import StepLoopHook
from estimator_clf.training.instrument import instrument
from estimator_clf.training.loop_input import make_fetch
from estimator_clf.training.loop_outputs import LoopOutputs, isolated_collections

v1 = tf.compat.v1

# Maximum seconds for which a loop delays a signal or the progress bar.
SECONDS = 1.0


class StepLoop:
    """The loop of one training; makes its input_fn, its model_fn and its first hook.

    What hooks fetch leaves the loop through the graph collections: each metric of
    `TRAIN_METRICS` is a vector with one number per step, with 'input_wait' among them;
    `EXAMPLE_IMAGES` has the images of the last step; `EXAMPLE_KEYS` a ragged tensor
    with one row per step. Other entries that the model_fn adds to collections
    (summaries, for instance) are inside the loop, where no session can fetch them, and
    are dropped, as are hooks that it returns. The loop ends after a step whose loss is
    not finite.

    The model_fn must create its variables so that `tf.init_scope` can lift them out of
    the loop. `get_variable`, `tf.Variable` and optimizers do, unless an initial value
    is computed from the batch.

    Attributes:
      pack: number of steps whose batches one element of the dataset holds.
      step: the global step that the training has reached, set by the hook.
      runs: number of session runs that this took.
      count: int32 scalar to be fed: maximum number of steps of the next run.
      done: int32 scalar to be fed: number of steps of this session so far.
      taken: int32 scalar: number of steps of the run.
    """

    def __init__(self, seconds: float = SECONDS, keys: bool = False, pack: int = 1):
        """Makes the loop.

        Args:
          seconds: a run ends after the first step that ends later than this.
          keys: whether to publish `EXAMPLE_KEYS`.
          pack: number of steps whose batches one element of the dataset holds, along
            an additional first dimension. Each element costs a switch of threads,
            which takes longer than a step of the smallest networks.
        """
        self._seconds = seconds
        self._keys = keys
        self.pack = pack
        self.step, self.runs = 0, 0

    @property
    def name(self) -> str:
        """Name of a tensor, so that a MetaGraphDef can hold the collection entry."""
        return self.taken.name

    def hook(
        self,
        last_step: int,
        every: Sequence[float] = (),
        alone: Callable[[int], bool] | None = None,
        most: int | None = None,
    ) -> StepLoopHook:
        """Makes the hook that sets the number of steps; it must be the first hook.

        Args:
          last_step: the step at which the training ends: `max_steps` of `train`.
          every: intervals in steps, see `estimator_clf.core.intervals.due`; a run ends
            where one of them is due.
          alone: function (step) -> whether that step must be a run of its own.
          most: maximum number of steps of a run; None: no limit.
        """
        return StepLoopHook(self, last_step, every, alone, most)

    def input_fn(self, input_fn: Callable) -> Callable:
        """Wraps an input_fn so that the loop can fetch from its dataset.

        If the dataset ends in the middle of a run, its steps are trained, but their
        metrics are lost.

        Args:
          input_fn: function without arguments that returns a tf.data.Dataset.
        """

        def wrapped():
            iterator = v1.data.make_initializable_iterator(input_fn())
            v1.add_to_collection(v1.GraphKeys.TABLE_INITIALIZERS, iterator.initializer)
            return iterator, None

        return wrapped

    def model_fn(self, model_fn: Callable) -> Callable:
        """Wraps a model_fn, also as `instrument` does; only training changes.

        Args:
          model_fn: function (features, labels, mode) -> EstimatorSpec.
        """
        model_fn = instrument(model_fn)

        def wrapped(features, labels, mode):
            if mode != estimator.ModeKeys.TRAIN:
                return model_fn(features, labels, mode=mode)
            return self._training_spec(model_fn, features)

        return wrapped

    def _training_spec(self, model_fn, iterator):
        self.count = v1.placeholder_with_default(1, ())
        self.done = v1.placeholder_with_default(0, ())
        deadline = tf.timestamp() + self._seconds
        fetch = make_fetch(iterator, self.pack)
        outputs = LoopOutputs(iterator.element_spec, self.pack, self._keys, self.count)

        def body(taken, more, values):
            del more
            (features, labels), wait = fetch(self.done + taken)
            with isolated_collections() as found:
                spec = model_fn(features, labels, mode=estimator.ModeKeys.TRAIN)
            waited = NamedTensor('input_wait', wait)
            found[TRAIN_METRICS] = [*found.get(TRAIN_METRICS, ()), waited]
            values, written = outputs.write_step(values, taken, spec.loss, found)
            # Everything of this step before the next one starts: its outputs must not
            # read a variable that the next step has written.
            with tf.control_dependencies([spec.train_op, *written]):
                late = tf.timestamp() >= deadline
                taken += 1
            more = tf.logical_and(taken < self.count, tf.logical_not(late))
            more = tf.logical_and(more, tf.math.is_finite(spec.loss))
            return taken, more, values

        self.taken, _, values = tf.while_loop(
            lambda taken, more, values: more,
            body,
            (tf.constant(0), tf.constant(True), outputs.start),
            shape_invariants=(
                tf.TensorShape([]),
                tf.TensorShape([]),
                outputs.shapes,
            ),
            parallel_iterations=1,
        )
        v1.add_to_collection(STEP_LOOP, self)
        return estimator.EstimatorSpec(
            estimator.ModeKeys.TRAIN,
            loss=outputs.publish(values, self.taken),
            train_op=self.taken.op,
        )


def make_step_loop(
    config: Config,
    plan: StepPlan,
    eval_intervals: Sequence[float],
    replicas: int,
    pack: int,
    log_message: Callable[[str], None],
) -> tuple[StepLoop, StepLoopHook] | None:
    """Makes the loop of a run and its hook; None where each step is a session run.

    Args:
      config: settings of the run.
      plan: its intervals.
      eval_intervals: intervals of its evaluations, in steps.
      replicas: number of devices; a loop needs a single one.
      pack: number of steps whose batches one element of the dataset may hold.
      log_message: called with a message where a loop is requested but impossible.
    """
    requested = config.hardware.steps_per_loop
    if replicas > 1 and requested not in ('auto', '1'):
        log_message(
            f'`steps_per_loop={requested}`: on {replicas} devices every step is a '
            'session run of its own'
        )
    if replicas > 1 or requested == '1':
        return None
    first, last = intervals.step_range(config.run.profile, 'profile') or (0, 0)

    def alone(step):
        # Images and histograms that are fetched with a run must belong to one step: to
        # the first step and some later ones; profiles distinguish steps.
        sampled = step == plan.start_step + 1 or intervals.due(step, plan.sample_every)
        return sampled or first <= step <= last

    loop = StepLoop(keys=config.run.record_keys, pack=pack)
    every = [plan.log_every, plan.save_every, *eval_intervals]
    most = None if requested == 'auto' else int(requested)
    return loop, loop.hook(plan.total_steps, every, alone, most)
