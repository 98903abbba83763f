"""How many processor cores this process may keep busy."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

# Where Linux says how much processor time a container is given: "quota period", or "max period".
# https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files
CGROUP_FILE = Path("/sys/fs/cgroup/cpu.max")


@cache
def usable_cores(cgroup_file: Path = CGROUP_FILE) -> int:
    """Cores that the scheduler and the container's quota leave to the process, at least 1.

    The machine may have many more, and threads beyond the quota would be stopped in turn, for most
    of each tenth of a second. A part of a core counts for nothing beside a whole one.
    """
    scheduled = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, _, period = cgroup_file.read_text(encoding="ascii").partition(" ")
        granted = int(quota) // int(period)
    except (OSError, ValueError):
        return scheduled or 1
    return max(1, min(scheduled or 1, granted))
