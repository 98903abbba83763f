"""What an invocation comes to."""

from __future__ import annotations

import msgspec

# Resolved at run time by msgspec, which reads the annotations.
from farthing.billing.meter import Charge
from farthing.usage import Usage


class Outcome(msgspec.Struct, frozen=True):
    """An invocation's end: what to send, what it cost, what it is sold for and to whom booked."""

    status: int
    body: dict[str, object] | list[object]
    headers: dict[str, str]
    usage: Usage
    cost: Charge
    price: Charge
    booked_to: str
