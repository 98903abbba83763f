"""Refusals about what waits.

Refusal
├── UnknownJob        404   the tenant has no such job
├── JobOver           409   the job has ended, so it cannot be cancelled
└── JobsUnavailable   503   the place where jobs are kept does not answer, or takes nothing
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from farthing.errors import Refusal, SettingsError, StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

RETRY_AFTER_S = "5"


class UnknownJob(Refusal):
    status, code, title = 404, "unknown-job", "There is no such job"


class JobOver(Refusal):
    status, code, title = 409, "job-over", "The job has ended"


class JobsUnavailable(Refusal):
    status, code, title = 503, "jobs-unavailable", "Jobs cannot be kept just now"


@contextmanager
def told_to_callers() -> Iterator[None]:
    """Refuses a caller where the storage fails; what it says of itself is the operator's to read.

    Raises `JobsUnavailable`.
    """
    try:
        yield
    except (StorageUnavailable, SettingsError):
        raise JobsUnavailable(
            "The place where requests wait does not answer just now, or takes nothing. Try again "
            "later, or ask without priority low.",
            retry_after=RETRY_AFTER_S,
        ) from None
