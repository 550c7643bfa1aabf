"""How much memory this process has taken at most."""

import sys

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import tensorflow as tf

_MEGABYTE = 2**20


def peak_memory():
    """Measures the peaks since the process began.

    Returns:
      dict: `peak_memory_mb`, of the process's resident memory in units of 2 ** 20
      bytes, and, where there are GPUs, `gpu_peak_memory_mb`, of the fullest of them.
      What cannot be found out is left out. (The GPU's was not run: there was none.)
    """
    found = {}
    resident = _resident()
    if resident is not None:
        found['peak_memory_mb'] = round(resident / _MEGABYTE, 1)
    # Not the logical ones: to list them settles the devices of the whole process.
    gpus = tf.config.get_visible_devices('GPU')
    if gpus:
        peaks = [
            tf.config.experimental.get_memory_info(f'GPU:{number}')['peak']
            for number in range(len(gpus))
        ]
        found['gpu_peak_memory_mb'] = round(max(peaks) / _MEGABYTE, 1)
    return found


def _resident():
    try:
        # Not `ru_maxrss`, which a process inherits from the one that started it.
        with open('/proc/self/status', encoding='ascii') as file:
            for line in file:
                if line.startswith('VmHWM:'):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass  # Not Linux.
    try:
        import resource
    except ImportError:
        return None  # Windows.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == 'darwin' else peak * 1024
