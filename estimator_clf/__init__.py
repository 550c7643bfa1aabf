"""Image classification with `tf.estimator` on TensorFlow 2.15 to 2.21.

The one door to Estimator is `from estimator_clf.compat import estimator`.

Importing this package loads nothing heavy (no TensorFlow); it only asks TensorFlow's
C++ side to keep to errors. Set `TF_CPP_MIN_LOG_LEVEL=0` to see everything.
"""

import os

__version__ = '0.2.0'

# TensorFlow reads this once, while its library loads: it has to stand before the
# first `import tensorflow` anywhere in the process. Child processes inherit it.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
