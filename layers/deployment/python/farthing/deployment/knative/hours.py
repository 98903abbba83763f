"""Hours in which pings, one a minute, keep a function's pod from going to zero."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from farthing.deployment.knative.overlay import dig
from farthing.deployment.pings import is_ping

if TYPE_CHECKING:
    from farthing.deployment.knative.overlay import Overlay

HOURS, DAYS = 24, 7


def kept_hours_per_week(overlay: Overlay, function: str) -> int:
    """The hours of a week in which a clock pings the function's Service every minute."""
    clocks = [it for it in overlay.of("PingSource") if dig(it, "spec.sink.ref.name") == function]
    return max(map(_hours, clocks), default=0)


def _hours(source: dict[str, Any]) -> int:
    fields = str(dig(source, "spec.schedule")).split()
    if not is_ping(dig(source, "spec.data")) or len(fields) != 5 or fields[0] != "*":
        return 0
    return _count(fields[1], HOURS) * _count(fields[4], DAYS)


def _count(field: str, everything: int) -> int:
    """How many of `everything` a field of a schedule names: `*`, `8`, `8-18` or a list of those."""
    if field == "*":
        return everything
    parts = (part.partition("-") for part in field.split(","))
    return sum(int(last or first) - int(first) + 1 for first, _, last in parts)
