"""Peak memory of this process, and the memory that it can still allocate.

`psutil` gives the available memory of the machine. It has neither the limits of Linux
control groups (containers, jobs) nor, on Linux and macOS, the peak of a process; both
are read from the kernel here.
"""

import math
import os
import sys
from collections.abc import Iterator

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import psutil
import tensorflow as tf

_MEGABYTE = 2**20

# Control groups of version 2 and 1: the controller in /proc/self/cgroup, the root
# directory, and the names there of the limit, the usage, and the cached files in
# `memory.stat`.
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


def peak_memory() -> dict[str, float]:
    """Measures peak memory since the process started, in units of 2 ** 20 bytes.

    Returns:
      `peak_memory_mb`, of the process's resident memory, and, where there are GPUs,
      `gpu_peak_memory_mb`, of the fullest of them. What cannot be measured is missing.
      (The GPU's was not run: there was none.)
    """
    found = {}
    resident = _peak_resident()
    if resident is not None:
        found['peak_memory_mb'] = round(resident / _MEGABYTE, 1)
    # Not the logical devices: listing them initializes the devices of the process.
    gpus = tf.config.get_visible_devices('GPU')
    if gpus:
        peaks = [
            tf.config.experimental.get_memory_info(f'GPU:{number}')['peak']
            for number in range(len(gpus))
        ]
        found['gpu_peak_memory_mb'] = round(max(peaks) / _MEGABYTE, 1)
    return found


def free_memory() -> int | None:
    """Returns the bytes that this process can still allocate, or None if unknown.

    The minimum of the machine's available memory, of what is left of the limit of the
    process (`ulimit -v`) and, on Linux, of the limits of its control group and of all
    parents of that.
    """
    try:
        free = psutil.virtual_memory().available
        free = min(free, _free_address_space())
    except (OSError, psutil.Error):
        return None
    for directory, limit, usage, cached in _limits():
        try:
            most, used = (
                int(_text(os.path.join(directory, name))) for name in (limit, usage)
            )
            lines = _text(os.path.join(directory, 'memory.stat')).splitlines()
            # Cached file contents, which the kernel drops when memory is needed.
            spare = dict(line.split() for line in lines).get(cached, 0)
        except (OSError, ValueError):  # No such file, or no limit (`max`).
            continue
        free = min(free, max(0, most - used + int(spare)))
    return free


def _free_address_space() -> float:
    """Returns the bytes that the process may still map; infinite without a limit."""
    try:
        import resource
    except ImportError:  # Windows.
        return math.inf
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return math.inf
    return max(0, limit - psutil.Process().memory_info().vms)


def _limits() -> Iterator[tuple[str, ...]]:
    """Yields (directory, limit, usage, cached) of each candidate control group."""
    of_controller = _paths()
    for controller, root, *names in _CONTROL_GROUPS:
        path = of_controller.get(controller, '/')
        while True:
            # In a container the path may exist on the host only.
            yield root + path.rstrip('/'), *names
            if path in ('/', ''):
                break
            path = os.path.dirname(path)


def _paths() -> dict[str, str]:
    """Returns dict controller -> path of this process's control group."""
    found: dict[str, str] = {}
    try:
        for line in _text('/proc/self/cgroup').splitlines():
            _, controllers, path = line.split(':', 2)
            found.update(dict.fromkeys(controllers.split(','), path))
    except (OSError, ValueError):
        pass
    return found


def _text(path: str) -> str:
    with open(path, encoding='utf-8') as file:
        return file.read()


def _peak_resident() -> int | None:
    """Returns the peak resident memory of the process in bytes, None if unknown."""
    if sys.platform == 'win32':
        return psutil.Process().memory_info().peak_wset
    try:
        # Not `ru_maxrss`, which a process inherits from its parent.
        for line in _text('/proc/self/status').splitlines():
            if line.startswith('VmHWM:'):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # Not Linux.
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == 'darwin' else peak * 1024
