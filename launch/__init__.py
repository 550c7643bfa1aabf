"""The programs: flags in, one call, what a person reads out.

Importing it does not import TensorFlow: `--help` and a mistake in a flag answer at
once.
"""

import os

# Before TensorFlow is first imported: its C++ start-up lines are not for a user.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
