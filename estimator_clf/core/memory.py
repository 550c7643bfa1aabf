"""How much memory this process has taken at most, and how much is free."""

import os
import sys

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import tensorflow as tf

_MEGABYTE = 2**20

# Control groups of version 2 and 1: the controller in /proc/self/cgroup, the directory,
# and there the limit, the usage, and what the statistics call cached files.
_CONTROL_GROUPS = (
    ('', '/sys/fs/cgroup', 'memory.max', 'memory.current', 'inactive_file'),
    (
        'memory',
        '/sys/fs/cgroup/memory',
        'memory.limit_in_bytes',
        'memory.usage_in_bytes',
        'total_inactive_file',
    ),
)


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


def free_memory():
    """Returns the bytes that this process can still have, or None if nobody knows.

    On Linux; the least of what the kernel says to be available and of what is left of
    the limits of the process's control group (a container's, a job's) and of those that
    it lies in, where there are any.
    """
    try:
        with open('/proc/meminfo', encoding='ascii') as file:
            facts = dict(line.split(':', 1) for line in file)
        free = int(facts['MemAvailable'].split()[0]) * 1024
    except (OSError, KeyError):
        return None
    for directory, limit, usage, files in _limits():
        try:
            most, used = (_number(os.path.join(directory, n)) for n in (limit, usage))
            with open(os.path.join(directory, 'memory.stat'), encoding='ascii') as file:
                # Copies of files that the kernel gives up when memory is wanted.
                spare = dict(line.split() for line in file).get(files, 0)
        except (OSError, ValueError):  # No such file; or no limit, which is 'max'.
            continue
        free = min(free, max(0, most - used + int(spare)))
    return free


def _limits():
    """Yields (directory, limit, usage, files) of each control group there may be."""
    of_controller = _paths()
    for controller, root, *names in _CONTROL_GROUPS:
        path = of_controller.get(controller, '/')
        while True:
            # In a container the path may be one that only the host has.
            yield root + path.rstrip('/'), *names
            if path in ('/', ''):
                break
            path = os.path.dirname(path)


def _paths():
    """dict controller -> the path of this process's control group."""
    found = {}
    try:
        with open('/proc/self/cgroup', encoding='utf-8') as file:
            for line in file:
                _, controllers, path = line.rstrip('\n').split(':', 2)
                found.update(dict.fromkeys(controllers.split(','), path))
    except (OSError, ValueError):
        pass
    return found


def _number(path):
    with open(path, encoding='ascii') as file:
        return int(file.read())


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
