"""An attempt's entry, held back until it is known whether the attempt counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from farthing.billing.ledger import Entry
from farthing.billing.meter import HOUSE

if TYPE_CHECKING:
    from farthing.billing.recorders import Recorder

FOR_HOUSE: Final = {
    "tenant": HOUSE,
    "kind": "refusal",
    "plan": "",
    "lease": "",
    "unleased": False,
    "price_max_pico": None,
}


class Held:
    """A recorder for one attempt."""

    is_full = False

    def __init__(self) -> None:
        self._fields: dict[str, Any] = {}

    def record(self, *, key: tuple[str, int] | None = None, **fields: Any) -> None:
        """Keeps the entry back."""
        self._fields = fields

    def close(self) -> None:
        """Has nothing to hand over."""

    def entry(self, writer: str, number: int) -> Entry:
        """The attempt's entry, where it is the one that counts."""
        return Entry(writer=writer, number=number, **self._fields)

    def give_to_house(self, recorder: Recorder) -> None:
        """Records what an attempt has cost that came to nothing."""
        recorder.record(**self._fields | FOR_HOUSE)
