"""What a caller is told of an error that nobody foresaw."""

from __future__ import annotations

import logging
import traceback

from farthing.errors import InternalFault, Refusal

log = logging.getLogger("farthing")


def as_refusal(error: BaseException, request_id: str) -> Refusal:
    """The refusal itself, or one that names the invocation; where it failed goes to the log."""
    if isinstance(error, Refusal):
        return error
    # Where, not what: an exception's text may quote the input.
    log.error(
        "invocation %s failed: %s at\n%s",
        request_id,
        type(error).__name__,
        "".join(traceback.format_tb(error.__traceback__)),
    )
    return InternalFault(
        f"Invocation {request_id} failed inside Farthing; nothing is charged. "
        "Try again, and report the id if it persists."
    )
