"""What cannot be done, however often it is tried, and where it goes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from farthing.batch.errors import (
    InputChanged,
    InputInvalid,
    JobInvalid,
    JobMissing,
    OutputExists,
)
from farthing.errors import BudgetSpent, FarthingError

if TYPE_CHECKING:
    from farthing.settings import Settings

# Another try would meet the same file, the same columns, the same budget.
PERMANENT = (JobInvalid, InputInvalid, InputChanged, OutputExists, JobMissing, BudgetSpent)

log = logging.getLogger("farthing")


def is_permanent(error: BaseException) -> bool:
    """Whether another try would end the same way."""
    cause = error.__cause__
    # What may not be read can be read once the role is put right.
    is_refused = isinstance(cause, PermissionError) or "Credentials" in type(cause).__name__
    return isinstance(error, PERMANENT) and not is_refused


def said_of(error: BaseException) -> str:
    """Our sentence; of others' errors the name alone, since their texts may quote a row."""
    if isinstance(error, FarthingError):
        return str(error)
    return f"The function met a fault of its own ({type(error).__name__}). See its log."


class DeadLetters:
    """The queue of FARTHING_BATCH_DEAD_LETTERS; without one nothing is kept."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.batch_dead_letters

    def keep(self, body: str, error: BaseException, source: str, group: str = "") -> bool:
        """Sends the message there, with what was wrong; whether it is kept now.

        Raises `QueueUnavailable`; whoever sent the message then tries again.
        """
        log.error("%s", said_of(error))
        if not self._url:
            return False
        # boto3 is imported where something went wrong, and not before.
        from farthing.batch.events.queue import Queue, dead_letter

        letter = dead_letter(body, said_of(error), type(error).__name__, source, group)
        Queue(self._url).send([letter])
        return True
