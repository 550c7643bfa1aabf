"""One file per format; `input.registry` finds them."""

# Before the formats import TensorFlow: configures its logging first.
import estimator_clf.compat  # noqa: F401
