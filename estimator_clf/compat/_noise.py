"""Keeps TensorFlow's start-up and deprecation chatter off the terminal.

Estimator, the v1 metrics, losses and optimizers are deprecated by TensorFlow, and
this project uses them knowingly: a screenful of reminders at each start hides the
warnings that matter. Only lines known to be noise are dropped; everything else passes.
"""

import contextlib
import glob
import logging
import os
import re
import sys
import tempfile
import warnings

# Lines that TensorFlow's libraries write to file descriptor 2 while they load. Some
# come before `TF_CPP_MIN_LOG_LEVEL` is read (TF 2.21), some are logged as errors
# although they are none (TF 2.15 to 2.19, on every machine), so that the
# environment variable alone does not reach them.
_STARTUP_NOISE = re.compile(
    rb'All log messages before absl::InitializeLog\(\)'
    rb'|oneDNN custom operations are on'
    rb'|Could not find cuda drivers on your machine'
    rb'|Unable to register cu(DNN|FFT|BLAS) factory'
    rb'|computation placer already registered'
    rb'|This TensorFlow binary is optimized to use available CPU instructions'
    rb'|^To enable the following instructions:'
    rb'|TF-TRT Warning: Could not find TensorRT'
    # 303, CUDA_ERROR_SHARED_OBJECT_INIT_FAILED: there is no driver at all. A driver
    # that is there and does not work gives other numbers, and those must be seen.
    rb'|failed call to cuInit: .*\(303\)'
)


# Device files of GPUs and TPUs: NVIDIA, its Jetson boards, WSL, AMD, Google.
_ACCELERATORS = ('nvidia*', 'nvhost*', 'nvmap', 'dxg', 'kfd', 'accel*', 'vfio')


@contextlib.contextmanager
def quiet_startup():
    """Drops TensorFlow's known start-up lines from file descriptor 2.

    Wrap the first `import tensorflow` in it. Other lines appear when the block ends.
    Does nothing where the user asks for the lines with `TF_CPP_MIN_LOG_LEVEL=0` or `1`:
    the way to see the last words of a TensorFlow that kills the process while it loads.
    """
    with contextlib.ExitStack() as stack:
        if os.environ.get('TF_CPP_MIN_LOG_LEVEL', '0') not in ('', '0', '1'):
            # A daemon may run with descriptor 2 closed, or without a place for
            # temporary files. No reason not to start.
            with contextlib.suppress(OSError):
                stack.enter_context(_filtered_stderr())
        yield


@contextlib.contextmanager
def _filtered_stderr():
    # A file, not a pipe: nobody reads while the library loads, and a pipe that is full
    # would block it for ever.
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


def has_accelerator():
    """Says whether this machine shows a GPU or TPU to this process.

    A look at the device files only: it loads no driver. True where it cannot be
    known (not Linux).
    """
    if not sys.platform.startswith('linux'):
        return True
    return any(glob.glob(f'/dev/{name}') for name in _ACCELERATORS)


def silence_deprecations():
    """Drops deprecation notices that come from TensorFlow's and Keras' own modules.

    Covers the notices of the logger `tensorflow` and Python warnings of the deprecation
    categories; those caused by other modules stay. Calling it twice is fine.
    """
    # TensorFlow logs through this one logger, so that a filter here (unlike one on an
    # ancestor) sees every record. It holds each filter object once.
    logging.getLogger('tensorflow').addFilter(_is_no_deprecation_notice)
    for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
        warnings.filterwarnings(
            'ignore',
            category=category,
            module=r'(tensorflow|tensorflow_estimator|keras|tf_keras)(\.|$)',
        )
    # About the legacy graph mode, once per run under any strategy: `tf.distribute`
    # itself makes the call that this complains of.
    warnings.filterwarnings(
        'ignore',
        message='To make it possible to preserve tf.data options',
        category=UserWarning,
        module=r'tensorflow\.',
    )


def _is_no_deprecation_notice(record):
    # `tensorflow/python/util/deprecation.py` and `module_wrapper.py`: all their notices
    # are format strings of this form.
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
