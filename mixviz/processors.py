"""How many of the machine's processors there are for this process."""

import os


def usable_cores() -> int:
    """Cores that this process may use, which `taskset` or a cpuset may have made fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
