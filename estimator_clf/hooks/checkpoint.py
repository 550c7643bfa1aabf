"""Checkpoints at steps that depend on the step alone, and what follows each."""

import contextlib
import glob
import os
import shutil

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import tensorflow as tf

from estimator_clf.core.errors import RunError, disk_full_message
from estimator_clf.core.intervals import due
from estimator_clf.hooks.base import StepHook
from estimator_clf.hooks.nan_guard import NonFiniteError

v1 = tf.compat.v1


class CheckpointHook(StepHook):
    """Saves at intervals counted from step 0, and at the end.

    Stock `CheckpointSaverHook` counts from wherever the session began, so that a
    resumed run saves, and evaluates, at other steps than an unbroken one. Weights that
    are not finite are not saved: nothing could go on from them.

        est = estimator.Estimator(model_fn, model_dir, RunConfig(
            save_checkpoints_steps=None, save_checkpoints_secs=None))
        est.train(input_fn, hooks=[CheckpointHook(model_dir, every=[500])])
    """

    def __init__(self, model_dir, every, listeners=(), saver=None):
        """Makes the hook.

        Args:
          model_dir: directory of the checkpoints.
          every: list of intervals in steps, see `estimator_clf.core.intervals.due`.
          listeners: objects with `after_save(path, step, final)`, called in this order
            after each save.
          saver: `tf.compat.v1.train.Saver` of the training's graph, or a function
            without arguments that returns it, called when the session is there; None:
            the one that Estimator makes. Needed where the Scaffold has one of its own,
            which no hook can see.
        """
        self._path = os.path.join(model_dir, 'model.ckpt')
        self._every = every
        self._listeners = listeners
        self._given = saver
        self._saved = None

    def begin(self):
        finite = [
            tf.reduce_all(tf.math.is_finite(v))
            for v in v1.trainable_variables()
            if v.dtype.is_floating
        ]
        self._finite = tf.reduce_all(tf.stack(finite)) if finite else tf.constant(True)

    def on_start(self, session):
        savers = session.graph.get_collection(v1.GraphKeys.SAVERS)
        if self._given:
            self._saver = self._given() if callable(self._given) else self._given
        elif savers:
            self._saver = savers[0]
        else:
            raise RuntimeError(
                'CheckpointHook: the Scaffold of this session has a saver of its own, '
                'which no hook can see; give it as CheckpointHook(…, saver=…), or add '
                'it to the collection tf.compat.v1.GraphKeys.SAVERS in the model_fn'
            )
        if self.step == 0:
            self._save(session)
        else:
            self._saved = self.step  # This is where the weights came from.
            # The run before may have been killed between this checkpoint and what
            # was to follow it; the listeners know what they have done.
            self._tell(final=False)

    def after_step(self, run_context, results):
        if any(due(self.step, n) for n in self._every):
            self._save(run_context.session)

    def end(self, session):
        if self._saved != self.step:
            self._save(session)
        self._tell(final=True)

    def _save(self, session):
        # Estimator looks at the loss only, which tells one step too late, and after
        # the other hooks.
        if not session.run(self._finite):
            raise NonFiniteError(self.step, 'weights')
        # Without the MetaGraph: it would be written again each time, many times the
        # size of a small network's weights, and nothing here reads it.
        try:
            self._saver.save(
                session, self._path, global_step=self.step, write_meta_graph=False
            )
        except (OSError, tf.errors.OpError) as error:
            raise RunError(self._not_saved(error)) from None
        self._saved = self.step
        self._tell(final=False)

    def _not_saved(self, error):
        """What a full disk or the like has done, in words; removes what is half."""
        path = f'{self._path}-{self.step}'
        for name in glob.glob(glob.escape(path) + '[._]*'):
            if os.path.isdir(name):
                shutil.rmtree(name, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    os.remove(name)
        reason = (
            disk_full_message(error) or getattr(error, 'message', None) or str(error)
        )
        text = f'the checkpoint of step {self.step} could not be written to '
        text += f'`model_dir={os.path.dirname(self._path)}`: {reason}. '
        if self._saved is not None:
            text += f'The one of step {self._saved} is whole: make room there, and the '
            text += 'same command goes on from it'
        return text

    def _tell(self, final):
        path = f'{self._path}-{self._saved}'
        for listener in self._listeners:
            listener.after_save(path, self._saved, final)
