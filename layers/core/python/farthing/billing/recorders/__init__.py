"""Recorders: every attempt's entry leaves the process before its answer does.

| recorder | where to | what it can lose |
| --- | --- | --- |
| `line` | standard output, which the platform's log takes | what the log service drops |
| `spool` | a file, and from there the ledger in groups | the last moments if power fails |
| `none` | nowhere | everything |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from farthing.errors import SettingsError

if TYPE_CHECKING:
    from farthing.billing.ledger import Ledger
    from farthing.settings import Settings


class Recorder(Protocol):
    """Keeps entries. It names the writer and numbers them; a process's copy is another writer."""

    @property
    def is_full(self) -> bool:
        """Entries cannot be kept now: no new work should begin."""

    def record(self, *, key: tuple[str, int] | None = None, **fields: Any) -> None:
        """Keeps an `Entry` of these fields, all but `writer` and `number`.

        `key` is both, for work that may be done again and is billed once. It takes microseconds,
        waits for nobody and never raises for what the disk or the log does.
        """

    def close(self) -> None:
        """Hands over what it has, within some seconds; what it cannot, the next process does."""


class NoRecorder:
    """Keeps nothing: for trials, where no ledger is asked for."""

    is_full = False

    def record(self, *, key: tuple[str, int] | None = None, **fields: Any) -> None:
        """Forgets the entry."""

    def close(self) -> None:
        """Has nothing to hand over."""


def open_recorder(settings: Settings, ledger: Ledger | None = None) -> Recorder:
    """The recorder that the settings name; `ledger` is where a spool is emptied to.

    Raises `SettingsError` for a spool without a ledger, or whose folder cannot be written.
    """
    if settings.recorder == "line":
        from farthing.billing.recorders.line import LineRecorder

        return LineRecorder()
    if settings.recorder == "spool":
        if ledger is None:
            raise SettingsError(
                "FARTHING_RECORDER is spool, but FARTHING_LEDGER is empty, so entries could go "
                "nowhere. Set it to the ledger's address, or the recorder to line or none."
            )
        from farthing.billing.recorders.spool import SpoolRecorder

        return SpoolRecorder(settings.spool, settings.spool_max_mb, ledger)
    return NoRecorder()
