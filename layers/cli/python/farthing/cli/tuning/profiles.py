"""What a call takes, as measured here: for quotations."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.cli.options import local_settings
from farthing.cli.tuning.measure import full_vcpu, subject_of
from farthing.cli.tuning.places import Local
from farthing.cli.tuning.quotas import find_quota
from farthing.planning.errors import PlanningError
from farthing.planning.work import Work

if TYPE_CHECKING:
    from pathlib import Path

CALLS = 100
# An image without its bundle.
BARE_IMAGE_MB = 115
MB = 1_000_000
TASK_OF = {"classify": "classify", "embed": "embed"}


class _Size(msgspec.Struct):
    memory_mb: int
    warm_p50_ms: float


class _Tuned(msgspec.Struct):
    """The part of `farthing tune --json` that is taken."""

    function: str
    method: str
    machine: str
    peak_mb: int
    tokens: int
    init_ms: float
    sizes: list[_Size]


def measured_work(bundle: str) -> Work:
    """A bundle's times on this machine, at one full vCPU. Raises `PlanningError`."""
    from farthing.inference.bundle import Bundle, find_bundles

    root = local_settings().models
    bundles = [Bundle.open(path) for path, _ in find_bundles(root)]
    one = next((it for it in bundles if it.manifest.name == bundle), None)
    if one is None:
        names = ", ".join(it.manifest.name for it in bundles)
        raise PlanningError(f"There is no bundle of that name; there are {names}. Choose one.")
    task = TASK_OF[one.manifest.task]
    subject = subject_of(task, None, root, [bundle])
    place = Local(find_quota())
    starts, whole = full_vcpu(subject, place, CALLS, lambda _: None)
    return _work(
        name=bundle,
        task=task,
        busy_ms=statistics.median(whole.warm_ms),
        init_ms=statistics.median(starts.init_ms),
        peak_mb=starts.peak_mb,
        tokens=starts.tokens,
        image_mb=BARE_IMAGE_MB + one.size_bytes // MB,
        source=f"measured on this machine: the whole function, {CALLS} calls; {place.name}",
    )


def tuned_work(file: Path) -> Work:
    """The times in a file that `farthing tune --json` wrote. Raises `PlanningError`."""
    try:
        tuned = msgspec.json.decode(file.read_bytes(), type=_Tuned)
        largest = max(tuned.sizes, key=lambda size: size.memory_mb)
    except (OSError, ValueError):
        raise PlanningError(
            "The --tuned file is not what `farthing tune --json` writes. Write it again."
        ) from None
    return _work(
        name=tuned.function,
        task=TASK_OF.get(tuned.function, "classify"),
        busy_ms=largest.warm_p50_ms,
        init_ms=tuned.init_ms,
        peak_mb=tuned.peak_mb,
        tokens=tuned.tokens,
        source=f"tuned on {tuned.machine}; {tuned.method}",
        curve_ms={size.memory_mb: size.warm_p50_ms for size in tuned.sizes},
    )


def _work(**fields: Any) -> Work:
    try:
        return msgspec.convert(fields, Work)
    except msgspec.ValidationError as error:
        raise PlanningError(f"What was measured is not usable: {error}. Measure again.") from None
