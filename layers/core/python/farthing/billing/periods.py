"""UTC days and months: what statements, bills and budgets are for."""

from __future__ import annotations

import datetime as dt
import re

import msgspec

from farthing.errors import LedgerError

MS_PER_DAY = 86_400_000
EPOCH_ORDINAL = dt.date(1970, 1, 1).toordinal()


class Period(msgspec.Struct, frozen=True):
    """Whole UTC days from `since` until the day before `until`."""

    since: dt.date
    until: dt.date

    @property
    def since_ms(self) -> int:
        return (self.since.toordinal() - EPOCH_ORDINAL) * MS_PER_DAY

    @property
    def until_ms(self) -> int:
        return (self.until.toordinal() - EPOCH_ORDINAL) * MS_PER_DAY

    @property
    def last(self) -> dt.date:
        return self.until - dt.timedelta(days=1)

    @property
    def is_month(self) -> bool:
        return self == month_from(self.since)


def month_from(day: dt.date) -> Period:
    """The month that begins on or before the day and has it."""
    first = day.replace(day=1)
    return Period(first, (first + dt.timedelta(days=31)).replace(day=1))


def this_month() -> Period:
    """The UTC month that it is."""
    return month_from(dt.datetime.now(dt.UTC).date())


def read_month(text: str) -> Period:
    """The month of `2026-11`. Raises `LedgerError` for anything else."""
    if re.fullmatch(r"[1-9]\d{3}-(0[1-9]|1[0-2])", text, re.ASCII) is None:
        raise LedgerError("That is no month. Write it as year and month, 2026-11 say.")
    return month_from(dt.date.fromisoformat(f"{text}-01"))


def read_days(since: str, until: str) -> Period:
    """The days from `2026-11-01` until `2026-11-30`, both included.

    Raises `LedgerError` where one is no day, or the last is before the first.
    """
    try:
        first, last = (dt.date.fromisoformat(day) for day in (since, until))
        period = Period(first, last + dt.timedelta(days=1))
    except (ValueError, OverflowError):
        raise LedgerError("That is no day. Write year, month and day, 2026-11-01 say.") from None
    if last < first:
        raise LedgerError("The last day is before the first. Give them in their order.")
    return period


def day_of(at_ms: int) -> str:
    """The UTC day of a moment, `2026-11-22`."""
    return dt.date.fromordinal(EPOCH_ORDINAL + at_ms // MS_PER_DAY).isoformat()
