"""One file per format; `input.registry` finds them."""

# Before the formats import TensorFlow: loads it without its chatter.
import estimator_clf.compat  # noqa: F401
