"""Where a function is timed: in a process of this machine, or in a container of its image."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from farthing.planning.errors import PlanningError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farthing.cli.tuning.quotas import Quota
    from farthing.deployment.pack.engine import Engine

RUNNER = Path(__file__).with_name("runner.py")
RUN_S_MAX = 300
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "VIRTUAL_ENV")


class Place(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def holds(self) -> bool: ...

    def run(
        self, plan: Mapping[str, Any], environ: Mapping[str, str], vcpu_milli: int, memory_mb: int
    ) -> dict[str, Any]:
        """What the runner found. Raises `PlanningError` where it found nothing."""


class Local:
    """A process under a quota of this machine; memory is measured and not limited."""

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self.name = quota.name
        self.holds = quota.holds

    def run(
        self, plan: Mapping[str, Any], environ: Mapping[str, str], vcpu_milli: int, memory_mb: int
    ) -> dict[str, Any]:
        with self.quota.held(vcpu_milli) as prefix:
            text = json.dumps({**plan, "spawned_ns": time.monotonic_ns()})
            try:
                done = subprocess.run(  # noqa: S603 - our own runner, no shell of the user's
                    [*prefix, sys.executable, str(RUNNER), text],
                    env=own_environ(environ),
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=RUN_S_MAX,
                )
            except subprocess.TimeoutExpired:
                raise PlanningError(
                    f"The function took more than {RUN_S_MAX} s at {memory_mb:,} MB. Give fewer "
                    "--calls, or larger --sizes."
                ) from None
        if done.returncode:
            words = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise PlanningError(
                f"The function does not start as on Lambda with {memory_mb:,} MB: {words}"
            )
        return found(done.stdout)


class Container:
    """A container of the image, under the engine's limits of CPU and memory."""

    holds = True

    def __init__(self, engine: Engine, image: str) -> None:
        self._engine = engine
        self._image = image
        self.name = f"{engine.name} --cpus and --memory, image {image}"

    def run(
        self, plan: Mapping[str, Any], environ: Mapping[str, str], vcpu_milli: int, memory_mb: int
    ) -> dict[str, Any]:
        limits = ["--read-only", "--network=none", "--cpus", f"{vcpu_milli / 1000:g}"]
        limits += ["--memory", f"{memory_mb}m", "--memory-swap", f"{memory_mb}m"]
        for name, value in environ.items():
            limits += ["--env", f"{name}={value}"]
        source = RUNNER.read_text(encoding="utf-8")
        text = json.dumps({**plan, "spawned_ns": 0})
        command = ["python3", "-c", source, text]
        return found(self._engine.run(self._image, command, limits, RUN_S_MAX))


def own_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """The platform's variables, and of this process's only what a program needs to be found."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return {**kept, **environ}


def found(written: str) -> dict[str, Any]:
    """The runner's last line, whose answer must be a priced one."""
    try:
        result: dict[str, Any] = json.loads(written.strip().splitlines()[-1])
        answer = json.loads(result["answer"])
    except (ValueError, KeyError, IndexError, TypeError):
        raise PlanningError(
            "The function started and gave no answer that can be read. Run it with `farthing "
            "invoke` and see what it says."
        ) from None
    if not isinstance(answer, dict) or "charge" not in answer or "detail" in answer:
        detail = answer.get("detail", "") if isinstance(answer, dict) else ""
        raise PlanningError(
            f"The function refuses the event that it is timed with. {detail} Give another --event."
        )
    return {**result, "answer": answer}
