"""Checkpoints at steps that depend on the step alone, and their listeners."""

import contextlib
import glob
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

from estimator_clf.core.errors import RunError, disk_full_message, is_out_of_memory
from estimator_clf.core.intervals import due
from estimator_clf.hooks.base import StepHook
from estimator_clf.hooks.nan_guard import NonFiniteError

v1 = tf.compat.v1


class SaveListener(Protocol):
    """Called after each checkpoint of a `CheckpointHook`."""

    def after_save(self, path: str, step: int, final: bool) -> None:
        """Handles a checkpoint.

        Args:
          path: its path prefix.
          step: its global step.
          final: whether training has ended.
        """


class CheckpointHook(StepHook):
    """Saves at intervals counted from step 0, and at the end.

    The stock `CheckpointSaverHook` counts from the start of the session, so that a
    resumed run saves, and evaluates, at other steps than an uninterrupted one. Weights
    that are not finite are not saved: no run could continue from them.

        est = estimator.Estimator(model_fn, model_dir, RunConfig(
            save_checkpoints_steps=None, save_checkpoints_secs=None))
        est.train(input_fn, hooks=[CheckpointHook(model_dir, every=[500])])
    """

    def __init__(
        self,
        model_dir: str,
        every: Iterable[float],
        listeners: Sequence[SaveListener] = (),
        saver: tf.compat.v1.train.Saver | Callable | None = None,
    ) -> None:
        """Makes the hook.

        Args:
          model_dir: directory of the checkpoints.
          every: intervals in steps, see `estimator_clf.core.intervals.due`.
          listeners: called in this order after each checkpoint.
          saver: Saver of the training graph, or a function without arguments that
            returns it, called when the session exists; None: the one that Estimator
            makes. Needed if the Scaffold has its own, which is invisible to hooks.
        """
        self._path = os.path.join(model_dir, 'model.ckpt')
        self._every = tuple(every)
        self._listeners = listeners
        self._given = saver
        self._saved: int | None = None

    def begin(self) -> None:
        finite = [
            tf.reduce_all(tf.math.is_finite(v))
            for v in v1.trainable_variables()
            if v.dtype.is_floating
        ]
        self._finite = tf.reduce_all(tf.stack(finite)) if finite else tf.constant(True)

    def on_start(self, session: tf.compat.v1.Session) -> None:
        savers = session.graph.get_collection(v1.GraphKeys.SAVERS)
        if self._given:
            self._saver = self._given() if callable(self._given) else self._given
        elif savers:
            self._saver = savers[0]
        else:
            raise RuntimeError(
                'CheckpointHook: the Scaffold of this session has its own saver, which '
                'is invisible to hooks; pass it as CheckpointHook(…, saver=…), or add '
                'it to the collection tf.compat.v1.GraphKeys.SAVERS in the model_fn'
            )
        if self.step == 0:
            self._save(session)
        else:
            self._saved = self.step  # The checkpoint that was restored.
            # The previous run may have been killed between this checkpoint and its
            # listeners; they skip what is done already.
            self._notify(final=False)

    def after_step(self, run_context: Any, results: Any) -> None:
        if any(due(self.step, n) for n in self._every):
            self._save(run_context.session)

    def end(self, session: tf.compat.v1.Session) -> None:
        if self._saved != self.step:
            self._save(session)
        self._notify(final=True)

    def _save(self, session):
        # Estimator checks the loss only, which is one step late and after the other
        # hooks.
        if not session.run(self._finite):
            raise NonFiniteError(self.step, 'weights')
        # Without the MetaGraph: it would be written each time, is many times the size
        # of a small network's weights, and is not read here.
        try:
            self._saver.save(
                session, self._path, global_step=self.step, write_meta_graph=False
            )
        except (OSError, tf.errors.OpError) as error:
            self._remove_incomplete()
            if is_out_of_memory(error):
                raise
            raise RunError(self._not_saved_message(error)) from None
        self._saved = self.step
        self._notify(final=False)

    def _remove_incomplete(self):
        for name in glob.glob(glob.escape(f'{self._path}-{self.step}') + '[._]*'):
            if os.path.isdir(name):
                shutil.rmtree(name, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    os.remove(name)

    def _not_saved_message(self, error):
        reason = (
            disk_full_message(error) or getattr(error, 'message', None) or str(error)
        )
        text = f'the checkpoint of step {self.step} could not be written to '
        text += f'`model_dir={os.path.dirname(self._path)}`: {reason}. '
        if self._saved is not None:
            text += f'The one of step {self._saved} is complete: free space there, and '
            text += 'the same command resumes from it'
        return text

    def _notify(self, final):
        path = f'{self._path}-{self._saved}'
        for listener in self._listeners:
            listener.after_save(path, self._saved, final)
