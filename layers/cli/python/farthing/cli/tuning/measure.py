"""Times a function at each memory size's share of CPU, and its starts, and its knee."""

from __future__ import annotations

import os
import platform
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.planning.errors import PlanningError
from farthing.planning.knee import knee_of
from farthing.planning.tuning import (
    Sample,
    Starts,
    Tuning,
    rule_ms,
    share_milli,
    sizes_to_measure,
    tuned_sizes,
)
from farthing.settings import LAMBDA_MB_PER_VCPU

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from farthing.billing.prices import PriceBook
    from farthing.cli.tuning.places import Place
    from farthing.planning.knee import Level
    from farthing.planning.tuning import TunedSize

STARTS = 3
FULL_MB = LAMBDA_MB_PER_VCPU
FULL_MILLI = 1000
# As on a function that is called now and then: each call begins with its share unspent.
REST_S = 0.02
SAMPLE_TEXT = "bosch series 4 freestanding fridge freezer stainless steel"


class Subject(msgspec.Struct, frozen=True):
    """What is timed: a function, the event it gets and the variables of its bundles."""

    function: str
    event: dict[str, Any]
    environ: dict[str, str]


def tune(
    subject: Subject,
    place: Place,
    sizes_mb: Sequence[int],
    calls: int,
    book: PriceBook,
    region: str,
    load: Callable[[Subject], Sequence[Level]] | None,
    told: Callable[[str], None],
) -> Tuning:
    """A tuning of the subject; `told` hears what is being measured, `load` brings the levels of
    calls in flight."""
    starts, whole = full_vcpu(subject, place, calls, told)
    cores = len(os.sched_getaffinity(0))
    measured_mb, left_out = sizes_to_measure(sizes_mb, starts.peak_mb, cores)
    whole_ms = statistics.median(whole.warm_ms)
    samples = []
    for memory_mb in measured_mb:
        milli = share_milli(memory_mb)
        if not place.holds and milli != FULL_MILLI:
            samples.append(by_rule(whole, memory_mb))
            continue
        told(f"{memory_mb:,} MB: {calls} calls at {milli / 1000:.2f} vCPU")
        samples.append(_sample(subject, place, memory_mb, milli, calls))
    levels: tuple[Level, ...] = ()
    says = "not measured"
    if load is not None:
        told("calls in flight on one core")
        levels = tuple(load(subject))
        says = "over HTTP on one vCPU, as on Knative; each step up to the knee gains 5 % or more"
    sizes: tuple[TunedSize, ...] = tuned_sizes(samples, starts, whole_ms, book, region)
    return Tuning(
        function=subject.function,
        method=place.name,
        machine=_machine(cores),
        price_book=book.version,
        region=region,
        peak_mb=starts.peak_mb,
        tokens=starts.tokens,
        init_ms=statistics.median(starts.init_ms),
        sizes=sizes,
        left_out=tuple(left_out),
        levels=levels,
        knee=knee_of(levels),
        knee_says=says,
    )


def full_vcpu(
    subject: Subject, place: Place, calls: int, told: Callable[[str], None]
) -> tuple[Starts, Sample]:
    """Starts with a full vCPU, which Lambda gives init at every size, and calls with one."""
    told(f"{STARTS} starts and {calls} calls at 1 vCPU")
    runs = []
    for turn in range(STARTS):
        asked = calls if turn == STARTS - 1 else 0
        runs.append(
            place.run(_plan(subject, asked), _environ(subject, FULL_MB), FULL_MILLI, FULL_MB)
        )
    last = runs[-1]
    return (
        Starts(
            tuple(run["init_ms"] for run in runs),
            max(run["peak_mb"] for run in runs),
            max(1, int(last["answer"].get("usage", {}).get("prompt_tokens", 1))),
        ),
        Sample(FULL_MB, tuple(last["warm_ms"]), last["first_ms"]),
    )


def by_rule(whole: Sample, memory_mb: int) -> Sample:
    """What a size would take by Lambda's rule, where no share can be held."""
    milli = share_milli(memory_mb)
    return Sample(
        memory_mb,
        tuple(rule_ms(ms, milli) for ms in whole.warm_ms),
        rule_ms(whole.first_ms, milli),
    )


def _sample(subject: Subject, place: Place, memory_mb: int, milli: int, calls: int) -> Sample:
    run = place.run(_plan(subject, calls), _environ(subject, memory_mb), milli, memory_mb)
    return Sample(memory_mb, tuple(run["warm_ms"]), run["first_ms"])


def _plan(subject: Subject, calls: int) -> dict[str, Any]:
    return {
        "function": subject.function,
        "event": subject.event,
        "calls": calls,
        "rest_s": REST_S,
    }


def _environ(subject: Subject, memory_mb: int) -> Mapping[str, str]:
    """The variables that Lambda's runtime sets, and those of the function's bundles."""
    return {
        "AWS_LAMBDA_FUNCTION_NAME": f"farthing-{subject.function}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_mb),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": "30",
        "AWS_REGION": "us-east-1",
        **subject.environ,
    }


def subject_of(
    function: str,
    event: Path | None,
    models: Path | None,
    model: Sequence[str],
    *,
    in_image: bool = False,
) -> Subject:
    """Raises `PlanningError` for a function there is not, or an event that is no JSON object."""
    from farthing.serving.registry import FUNCTIONS

    if function not in FUNCTIONS:
        raise PlanningError(
            f"There is no function of that name; there are {', '.join(FUNCTIONS)}. Choose one."
        )
    # The same texts are sent again and again, to be computed each time.
    environ = {"FARTHING_CACHE": "off"}
    if model:
        environ["FARTHING_MODEL"] = ",".join(model)
    if models is not None and not in_image:
        environ["FARTHING_MODELS"] = str(models.resolve())
    if event is None:
        return Subject(function, FUNCTIONS[function].contract.asking([SAMPLE_TEXT]), environ)
    try:
        body = msgspec.json.decode(event.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError):
        raise PlanningError(
            "The --event cannot be read as a JSON object. Give a file with a request's JSON."
        ) from None
    return Subject(function, body, environ)


def _machine(cores: int) -> str:
    """The processor, and whether others used it meanwhile: then all times are too long."""
    load = os.getloadavg()[0]
    busy = "" if load < cores else f", busy with other work (load {load:.1f}): times are too long"
    return f"{_processor()}, {cores} cores{busy}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
