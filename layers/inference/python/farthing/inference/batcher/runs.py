"""One run: what comes of the units that share it, and telling their callers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.inference.batcher.units import QueuedCall, Unit

    # What came of a unit: rows and the place in them, or a whole result, or an error.
    Found = tuple[Any, int | None, BaseException | None]

log = logging.getLogger("farthing")


def run(units: Sequence[Unit]) -> list[Found]:
    """What came of each unit. Where a run of several fails each is tried alone, so that only the
    one that makes it fail is without a result.
    """
    model = units[0].model
    try:
        if not model.is_cut:
            asked = units[0].item
            return [(asked.answerer.compute(asked.work, before_batch=asked.guard), None, None)]
        rows = model.answerer.run([unit.item for unit in units])
        if len(rows) != len(units):
            raise RuntimeError(f"A run of {len(units)} texts gave {len(rows)} rows.")
        return [(rows, row, None) for row in range(len(units))]
    except BaseException as error:
        if len(units) == 1:
            return [(None, None, error)]
        return [found for unit in units for found in run([unit])]


def tell(call: QueuedCall, result: Any, error: BaseException | None) -> None:
    """Calls back with what came of a call; what that raises is kept from the thread."""
    try:
        call.done(None if error else result, error)
    except BaseException as failure:
        # The thread stays: others wait for it.
        log.error("an answer could not be handed over: %s", type(failure).__name__)
