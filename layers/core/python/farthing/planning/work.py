"""What one call takes, as measured or as stated."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec

from farthing.planning.errors import PlanningError

DATA = Path(__file__).parent / "data"
US_PER_MS = 1000
VCPU = 1000
# A process needs more than its resident set at the peak of one run showed.
MEMORY_MARGIN = 1.25

Task = Literal["classify", "embed", "search"]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Milliseconds = Annotated[float, msgspec.Meta(gt=0, le=900_000)]


class Work(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One call at one full vCPU of the machine that `source` names, and a start of its process.

    `tokens` are those of one call's text. `index_texts` texts of `index_tokens` each are embedded
    once, before the first call, in `index_text_ms` each, and make an index of `index_mb`.
    `curve_ms` are times measured at memory sizes in MB, which beat the rule.
    """

    name: str
    task: Task
    busy_ms: Milliseconds
    init_ms: Milliseconds
    peak_mb: Positive
    tokens: Positive
    source: str
    threads: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    image_mb: Positive = 130
    index_texts: Annotated[int, msgspec.Meta(ge=0, le=10_000_000_000)] = 0
    index_tokens: int = 0
    index_text_ms: float = 0.0
    index_mb: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    curve_ms: dict[int, float] = {}

    @property
    def needed_mb(self) -> int:
        return math.ceil(self.peak_mb * MEMORY_MARGIN)

    def service_us(self, vcpu_milli: int, memory_mb: int = 0) -> int:
        """One call with this share of a vCPU: slower in proportion below a vCPU per thread."""
        if memory_mb in self.curve_ms:
            return max(1, round(self.curve_ms[memory_mb] * US_PER_MS))
        return _stretched_us(self.busy_ms, min(vcpu_milli, self.threads * VCPU))

    def init_us(self, vcpu_milli: int) -> int:
        """A start, which has one thread's work to do."""
        return _stretched_us(self.init_ms, min(vcpu_milli, VCPU))

    def index_us(self, vcpu_milli: int) -> int:
        """Embedding all texts once."""
        per_text_us = _stretched_us(self.index_text_ms, min(vcpu_milli, self.threads * VCPU))
        return self.index_texts * per_text_us

    @property
    def tokens_once(self) -> int:
        return self.index_texts * self.index_tokens


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A use whose price was published; `published_parts_usd_year` is what its parts sum to."""

    name: str
    title: str
    calls_per_day: Positive
    published_usd_year: int
    published_parts_usd_year: int
    published_says: str
    work: Work


Named = TypeVar("Named", Work, Scenario)
Read = TypeVar("Read")


def known_work(name: str) -> Work:
    """What a shipped bundle was measured to take. Raises `PlanningError` naming those there are."""
    profiles = _read("profiles.json", list[Work])
    return _named(profiles, name, "measured profile of the bundle", "Give --p50-ms, or --measure.")


def scenario(name: str) -> Scenario:
    """Raises `PlanningError` naming those there are."""
    return _named(_read("scenarios.json", list[Scenario]), name, "scenario", "Choose one of those.")


def _named(known: list[Named], name: str, kind: str, advice: str) -> Named:
    for one in known:
        if one.name == name:
            return one
    names = ", ".join(one.name for one in known)
    raise PlanningError(f"There is no {kind} of that name; there are {names}. {advice}")


def _read(file: str, kind: type[Read]) -> Read:
    return msgspec.json.decode((DATA / file).read_bytes(), type=kind)


def _stretched_us(whole_ms: float, vcpu_milli: int) -> int:
    return max(1, round(whole_ms * US_PER_MS * VCPU / vcpu_milli))
