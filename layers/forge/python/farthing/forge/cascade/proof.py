"""What a cascade is worth, on rows that had no say: accuracy, shares, times, dollars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from farthing.forge.cascade.errors import CascadeUseless
from farthing.forge.cascade.thresholds import answered_by
from farthing.forge.evaluate.price import Bill, Pricing, price_calls
from farthing.forge.evaluate.scores import accuracy_interval
from farthing.forge.evaluate.timing import NS_PER_MS, time_side_by_side

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from farthing.forge.cascade.rows import Judged
    from farthing.forge.evaluate.timing import Times

ARCHITECTURES = ("arm64", "x86_64")


class Line(msgspec.Struct, frozen=True):
    """One model on the test rows, or the cascade: `share` is of the texts that it answered.

    `accuracy` is over all rows, those with a label for what belongs to none included, with its
    95 % interval of Wilson; `accuracy_of_share` over those that it answered. Times are one text's,
    on one thread; dollars are for a million warm calls, by processor, of this machine's times.
    """

    name: str
    share: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    accuracy_of_share: float
    p50_ms: float
    p99_ms: float
    bills: dict[str, Bill]


def lines_of(
    names: Sequence[str],
    judged: Judged,
    thresholds: Sequence[float],
    times: Sequence[Times],
    pricing: Pricing,
) -> tuple[Line, ...]:
    """A line for each stage alone and a last one for the cascade; `times` in the same order."""
    at = answered_by(judged.stages, thresholds)
    rights = [stage.argmax(axis=1) == judged.wanted for stage in judged.stages]
    answered = [at == number for number in range(len(rights))]
    whole = (np.choose(at, rights), np.ones(len(at), np.bool_))
    lines = []
    for name, (right, own), taken in zip(
        names, [*zip(rights, answered, strict=True), whole], times, strict=True
    ):
        low, high = accuracy_interval(int(right.sum()), len(right))
        p50_ns, p99_ns = np.percentile(taken.one_text_ns, [50, 99])
        lines.append(
            Line(
                name=name,
                share=float(own.mean()),
                accuracy=float(right.mean()),
                accuracy_low=low,
                accuracy_high=high,
                accuracy_of_share=float(right[own].mean()) if own.any() else 0.0,
                p50_ms=float(p50_ns) / NS_PER_MS,
                p99_ms=float(p99_ns) / NS_PER_MS,
                bills={arch: _bill(taken, pricing, arch) for arch in ARCHITECTURES},
            )
        )
    return tuple(lines)


def take_times(
    answers: Sequence[Callable[[Sequence[str]], object]], texts: Sequence[str], runs: int
) -> list[Times]:
    """Everybody's times on up to `runs` of the texts, by turns, one thread each."""
    return time_side_by_side(answers, texts, threads=1, runs=min(runs, len(texts)))


def require_use(lines: Sequence[Line], share_valid: float, share_min: float) -> None:
    """Refuses a cascade whose first stage is sure too seldom, or that saves no compute.

    :param share_valid: of the validation texts, answered by the first stage.
    :raises CascadeUseless: with the numbers.
    """
    first, *_, last, whole = lines
    if share_valid < share_min:
        raise CascadeUseless(
            f"{first.name} may answer {share_valid:.1%} of the texts in the place of {last.name}, "
            f"and {share_min:.1%} were asked for. Allow more loss, or serve {last.name} alone."
        )
    for arch in ARCHITECTURES:
        ours, theirs = whole.bills[arch], last.bills[arch]
        if ours.compute_usd_per_million >= theirs.compute_usd_per_million:
            raise CascadeUseless(
                f"The cascade computes for ${ours.compute_usd_per_million} a million calls on "
                f"{arch}, and {last.name} alone for ${theirs.compute_usd_per_million}. "
                f"Serve {last.name} alone."
            )


def _bill(taken: Times, pricing: Pricing, arch: str) -> Bill:
    priced = msgspec.structs.replace(pricing, arch=arch)
    return price_calls(taken.one_text_ns, priced, threads=taken.threads).warm
