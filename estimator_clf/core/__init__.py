"""Ground layer: errors, registry, devices, memory, locks, atomic files, intervals."""
