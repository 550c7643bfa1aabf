"""Number of cores; facts and instruction sets of the CPU (Linux only)."""

import os


def available_cores() -> int:
    """Returns the number of cores that this process may use."""
    if hasattr(os, 'sched_getaffinity'):  # A container may have a part of them.
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def facts() -> dict[str, str]:
    """Returns the fields of the first core, such as 'model name'; {} elsewhere."""
    found: dict[str, str] = {}
    try:
        with open('/proc/cpuinfo', encoding='utf-8', errors='replace') as file:
            for line in file:
                name, colon, value = line.partition(':')
                if colon:
                    found.setdefault(name.strip(), value.strip())
    except OSError:  # Not Linux.
        pass
    return found


def features() -> list[str]:
    """Returns the names of the instruction sets, such as 'avx512_bf16'."""
    return facts().get('flags', '').split()
