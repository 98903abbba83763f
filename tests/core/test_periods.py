"""UTC days and months."""

import datetime as dt

import pytest

from farthing.billing.periods import MS_PER_DAY, day_of, month_from, read_days, read_month
from farthing.errors import LedgerError


@pytest.mark.parametrize(
    ("month", "days"), [("2026-11", 30), ("2026-12", 31), ("2028-02", 29), ("2027-02", 28)]
)
def test_a_month_has_its_days(month: str, days: int) -> None:
    period = read_month(month)
    assert (period.until_ms - period.since_ms) == days * MS_PER_DAY
    assert period.is_month
    assert day_of(period.since_ms) == f"{month}-01"
    assert day_of(period.until_ms - 1) == f"{month}-{days}" == period.last.isoformat()


@pytest.mark.parametrize(
    "text", ["2026-13", "2026-00", "26-11", "2026-1", "2026-11-01", "", "١٢٣٤-11", "0000-01"]
)
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(LedgerError, match="2026-11"):
        read_month(text)


@pytest.mark.parametrize(
    ("since", "until", "said"),
    [
        ("2026-11-02", "2026-11-01", "order"),
        ("2026-11-31", "2026-12-01", "no day"),
        ("yesterday", "2026-12-01", "no day"),
        ("2026-11-01", "9999-12-31", "no day"),
    ],
)
def test_days_that_make_no_period_are_refused(since: str, until: str, said: str) -> None:
    with pytest.raises(LedgerError, match=said):
        read_days(since, until)


def test_days_are_counted_from_the_first_to_the_last() -> None:
    period = read_days("2026-11-30", "2026-11-30")
    assert period.until_ms - period.since_ms == MS_PER_DAY
    assert not period.is_month
    assert read_days("2026-11-01", "2026-11-30").is_month
    assert period.since_ms == dt.datetime(2026, 11, 30, tzinfo=dt.UTC).timestamp() * 1000
    assert month_from(dt.date(2026, 12, 31)).until == dt.date(2027, 1, 1)
