"""Many training steps per session run, as a loop in the graph."""

from estimator_clf.training.step_loop.loop import SECONDS, StepLoop, make_step_loop

__all__ = ['SECONDS', 'StepLoop', 'make_step_loop']
