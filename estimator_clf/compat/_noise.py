"""Filters TensorFlow's start-up and deprecation messages.

Estimator, the v1 metrics, losses and optimizers are deprecated by TensorFlow, and this
project uses them on purpose: a screenful of notices at each start hides the warnings
that matter. Only known lines are dropped; all others are printed.
"""

import contextlib
import glob
import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator

# Lines that TensorFlow's libraries write to file descriptor 2 while they load. Some
# are written before `TF_CPP_MIN_LOG_LEVEL` is read (TF 2.21), some are logged as errors
# although they are none (TF 2.15 to 2.19, on every machine), so that the environment
# variable alone does not suppress them.
_STARTUP_NOISE = re.compile(
    rb'All log messages before absl::InitializeLog\(\)'
    rb'|oneDNN custom operations are on'
    rb'|Could not find cuda drivers on your machine'
    rb'|Unable to register cu(DNN|FFT|BLAS) factory'
    rb'|computation placer already registered'
    rb'|This TensorFlow binary is optimized to use available CPU instructions'
    rb'|^To enable the following instructions:'
    rb'|TF-TRT Warning: Could not find TensorRT'
    # 303, CUDA_ERROR_SHARED_OBJECT_INIT_FAILED: no driver at all. A driver that does
    # not work gives other numbers, which must be printed.
    rb'|failed call to cuInit: .*\(303\)'
)


# Device files of GPUs and TPUs: NVIDIA, its Jetson boards, WSL, AMD, Google.
_ACCELERATORS = ('nvidia*', 'nvhost*', 'nvmap', 'dxg', 'kfd', 'accel*', 'vfio')


@contextlib.contextmanager
def quiet_startup() -> Iterator[None]:
    """Drops TensorFlow's known start-up lines from file descriptor 2.

    Wrap the first `import tensorflow` in it. Other lines appear when the block ends.
    Does nothing with `TF_CPP_MIN_LOG_LEVEL=0` or `1` in the environment: the way to get
    the last messages of a TensorFlow that kills the process while it loads.
    """
    with contextlib.ExitStack() as stack:
        if os.environ.get('TF_CPP_MIN_LOG_LEVEL', '0') not in ('', '0', '1'):
            # A daemon may run with descriptor 2 closed, or without a directory for
            # temporary files; it must start anyway.
            with contextlib.suppress(OSError):
                stack.enter_context(_filtered_stderr())
        yield


@contextlib.contextmanager
def _filtered_stderr():
    # A file, not a pipe: it is read after the library is loaded, and a full pipe would
    # block forever.
    with tempfile.TemporaryFile() as captured:
        terminal = os.dup(2)
        _flush_stderr()
        os.dup2(captured.fileno(), 2)
        try:
            yield
        finally:
            _flush_stderr()
            os.dup2(terminal, 2)
            os.close(terminal)
            captured.seek(0)
            rest = [line for line in captured if not _STARTUP_NOISE.search(line)]
            if rest:
                os.write(2, b''.join(rest))


def has_accelerator() -> bool:
    """Returns whether a GPU or TPU is visible to this process.

    Checks the device files only, without loading a driver. True if unknown (not Linux).
    """
    if not sys.platform.startswith('linux'):
        return True
    return any(glob.glob(f'/dev/{name}') for name in _ACCELERATORS)


def silence_deprecations() -> None:
    """Drops deprecation notices of TensorFlow's and Keras's own modules.

    Covers the notices of the logger `tensorflow` and Python warnings of the deprecation
    categories; those caused by other modules stay. Idempotent.
    """
    # TensorFlow logs through this one logger, so that a filter here (unlike one on an
    # ancestor) receives every record. A filter object is added once only.
    logging.getLogger('tensorflow').addFilter(_is_no_deprecation_notice)
    for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
        warnings.filterwarnings(
            'ignore',
            category=category,
            module=r'(tensorflow|tensorflow_estimator|keras|tf_keras)(\.|$)',
        )
    # About the legacy graph mode, once per run under any strategy: caused by a call in
    # `tf.distribute` itself.
    warnings.filterwarnings(
        'ignore',
        message='To make it possible to preserve tf.data options',
        category=UserWarning,
        module=r'tensorflow\.',
    )


def _is_no_deprecation_notice(record):
    # All notices of `tensorflow/python/util/deprecation.py` and `module_wrapper.py` are
    # format strings of this form.
    return not (
        record.levelno == logging.WARNING
        and isinstance(record.msg, str)
        and record.msg.startswith('From %s: ')
        and ' is deprecated' in record.msg
    )


def _flush_stderr():
    # `sys.stderr` is None under pythonw and in some services.
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
