"""Holding a process to a share of CPU: a control group of one's own, a container, or one core."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

CGROUP = Path("/sys/fs/cgroup")
# A share is handed out in periods; a process that has spent its share of one waits for the next.
PERIOD_US = 20_000
# The kernel refuses less.
QUOTA_MIN_US = 1000
MILLI = 1000


class Quota(Protocol):
    """A way to hold a command to thousandths of a vCPU. `holds` is False where it cannot."""

    @property
    def name(self) -> str: ...

    @property
    def holds(self) -> bool: ...

    def held(self, vcpu_milli: int) -> AbstractContextManager[tuple[str, ...]]:
        """Words to put before a command, for as long as the context lasts."""


class ControlGroup:
    """A group of this process's own, removed afterwards; other groups are left alone."""

    holds = True

    def __init__(self, parent: Path, version: int) -> None:
        self._parent = parent
        self._version = version
        self.name = f"control group v{version}, periods of {PERIOD_US // 1000} ms"

    @contextmanager
    def held(self, vcpu_milli: int) -> Iterator[tuple[str, ...]]:
        group = self._parent / f"farthing-tune-{os.getpid()}"
        group.mkdir()
        try:
            quota_us = max(QUOTA_MIN_US, PERIOD_US * vcpu_milli // MILLI)
            period_us = quota_us * MILLI // vcpu_milli
            if self._version == 1:
                (group / "cpu.cfs_period_us").write_text(str(period_us))
                (group / "cpu.cfs_quota_us").write_text(str(quota_us))
            else:
                (group / "cpu.max").write_text(f"{quota_us} {period_us}")
            # The shell joins the group and becomes the command, so no moment of it goes unheld.
            yield ("sh", "-c", 'echo $$ > "$0" && exec "$@"', str(group / "cgroup.procs"))
        finally:
            group.rmdir()

    def works(self) -> bool:
        """Whether a group can be made, limited and removed here."""
        try:
            with self.held(MILLI):
                return True
        except OSError:
            return False


class OneCore:
    """One whole core for every share: smaller ones are reckoned from it by Lambda's rule."""

    holds = False

    def __init__(self) -> None:
        pinned = shutil.which("taskset") is not None
        self._prefix = ("taskset", "-c", str(min(os.sched_getaffinity(0)))) if pinned else ()
        self.name = (
            "one core (taskset), shares below it reckoned by Lambda's rule"
            if pinned
            else "no limit at all, shares below a core reckoned by Lambda's rule"
        )

    @contextmanager
    def held(self, vcpu_milli: int) -> Iterator[tuple[str, ...]]:
        yield self._prefix if vcpu_milli <= MILLI else ()


def find_quota() -> ControlGroup | OneCore:
    """The most faithful way that works on this machine."""
    v2 = CGROUP / _own_group()
    for parent, version in ((CGROUP / "cpu", 1), (v2, 2), (CGROUP, 2)):
        group = ControlGroup(parent, version)
        if group.works():
            return group
    return OneCore()


def _own_group() -> str:
    try:
        lines: Sequence[str] = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return ""
    return next((line[3:].lstrip("/") for line in lines if line.startswith("0::")), "")
