"""Figures that no price list tells: each with its words and where it comes from."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

FILE = Path(__file__).parent / "data" / "assumptions.json"


class Assumption(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`says` is a sentence that holds the value; `source` is "assumption" where nobody says so."""

    name: str
    value: Decimal
    says: str
    source: str


class Assumptions:
    """The figures by name."""

    def __init__(self, known: Iterable[Assumption]) -> None:
        self._known = {one.name: one for one in known}

    def __getitem__(self, name: str) -> Assumption:
        return self._known[name]

    def number(self, name: str) -> Decimal:
        return self._known[name].value

    def us(self, name: str) -> int:
        """An assumption in seconds, as whole microseconds."""
        return int(self._known[name].value * 1_000_000)


def read_assumptions() -> Assumptions:
    """Those that ship."""
    return Assumptions(msgspec.json.decode(FILE.read_bytes(), type=list[Assumption]))
