"""Calls from a bare count and from trace files, good and bad."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.planning.errors import PlanningError
from farthing.planning.trace import read_trace
from farthing.planning.traffic import CALLS_PER_DAY_MAX, HOURS_PER_MONTH, SIMULATED_MAX, traffic_of

if TYPE_CHECKING:
    from pathlib import Path

HOUR_US = 3_600_000_000


def trace(folder: Path, text: str) -> Path:
    file = folder / "trace"
    file.write_text(text, encoding="utf-8")
    return file


@given(st.integers(1, 20_000))
def test_a_count_is_met_exactly_in_order_and_within_the_month(calls: int) -> None:
    traffic = traffic_of(calls)
    assert len(traffic.arrivals_us) == calls == traffic.calls_month
    assert list(traffic.arrivals_us) == sorted(traffic.arrivals_us)
    assert 0 <= traffic.arrivals_us[0] <= traffic.arrivals_us[-1] < traffic.span_us
    assert sum(traffic.by_hour) == pytest.approx(calls)
    assert traffic.month(calls) == calls


def test_the_same_count_gives_the_same_calls_and_the_day_more_than_the_night() -> None:
    traffic = traffic_of(100_000)
    assert traffic.arrivals_us == traffic_of(100_000).arrivals_us
    by_hour = [0] * HOURS_PER_MONTH
    for at_us in traffic.arrivals_us:
        by_hour[at_us // HOUR_US] += 1
    noon, midnight, sunday_noon = by_hour[12], by_hour[0], by_hour[6 * 24 + 12]
    assert noon > 5 * midnight
    assert noon > 1.5 * sunday_noon


def test_more_calls_than_can_be_simulated_are_sampled_in_the_busiest_hours() -> None:
    traffic = traffic_of(300_000_000)
    assert len(traffic.arrivals_us) == SIMULATED_MAX
    rate = len(traffic.arrivals_us) / traffic.span_us * HOUR_US
    assert rate == pytest.approx(traffic.busiest_hour, rel=0.01)
    assert any("stand for the month" in says for says in traffic.says)


@pytest.mark.parametrize("calls", [0, -1, -(10**9), CALLS_PER_DAY_MAX * 31, 10**30])
def test_counts_that_are_not_of_this_world_are_refused(calls: int) -> None:
    with pytest.raises(PlanningError, match="from 1 a month to 10,000,000,000 a day"):
        traffic_of(calls)


@pytest.mark.parametrize(
    "text",
    [
        "timestamp\n2026-11-02T08:00:00Z\n2026-11-02T09:00:00+00:00\n2026-11-02T10:00:00\n",
        "1793606400\n1793610000\n1793613600\n",
        '{"ts": 1793606400000}\n{"ts": 1793610000000}\n\n{"ts": 1793613600000}\n',
        '{"time": 1793606400000000}\n{"time": 1793610000000000}\n{"time": 1793613600000000}\n',
    ],
)
def test_timestamps_are_read_as_iso_and_as_epochs_of_any_unit(tmp_path: Path, text: str) -> None:
    traffic = read_trace(trace(tmp_path, text))
    assert list(traffic.arrivals_us) == [0, HOUR_US, 2 * HOUR_US]
    # Three calls in three hours, the last one's gap being taken for the mean.
    assert traffic.calls_month == HOURS_PER_MONTH


def test_disorder_gaps_repetitions_and_bad_rows_are_counted_and_told(tmp_path: Path) -> None:
    rows = [
        "request_id,timestamp,duration_ms,tokens",
        "a,2026-11-03T00:00:00Z,4,10",
        "b,2026-11-01T00:00:00Z,2,20",
        "a,2026-11-03T00:00:00Z,4,10",
        "c,yesterday,4,10",
        "d,2026-11-03T00:00:01Z,-4,10",
        "e,2026-11-03T00:00:01Z,nan,10",
        "",
        "f,2026-11-03T00:00:00Z,6,30",
        "g,2026-11-03T00:00:00Z,6,20",
    ]
    traffic = read_trace(trace(tmp_path, "\n".join(rows)))
    assert len(traffic.arrivals_us) == 4
    assert list(traffic.services_us or ()) == [2_000, 4_000, 6_000, 6_000]
    assert traffic.tokens_per_call == 20
    told = " ".join(traffic.says)
    assert "3 bad rows were left out, the first is line 5: its timestamp is neither" in told
    assert "1 repeated request ids were dropped" in told
    assert "not in order and were sorted" in told
    assert "2 calls share their instant" in told
    assert "1 gaps are longer than a day, the longest 48.0 hours" in told


def test_calls_without_a_duration_take_the_models(tmp_path: Path) -> None:
    text = '{"at": 1793606400, "ms": 3}\n{"at": 1793610000}\n{"at": 1793613600, "ms": 9}\n'
    traffic = read_trace(trace(tmp_path, text))
    assert traffic.services_us is None
    assert any("1 calls have no duration" in says for says in traffic.says)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "has 0 usable calls"),
        ("\n\n", "has 0 usable calls"),
        ("timestamp\n", "has 0 usable calls"),
        ("1793606400\n", "has 1 usable calls"),
        ("1793606400\n1793606400\n", "at one instant"),
        ("a,b\n1,2\n3,4\n", "names no column of timestamp"),
        ("when\nsoon\nlater\n", "is neither ISO 8601 nor an epoch"),
        ("[1, 2]\n{}\n", "names no column"),
        ("{}\n[]\n", "it has no timestamp"),
        ('{"at": null}\n{"at": true}\n', "it has no timestamp"),
        ("timestamp\n-5\ninf\nnan\n", "negative or no number"),
    ],
)
def test_a_trace_without_a_rate_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(PlanningError, match=why):
        read_trace(trace(tmp_path, text))


def test_a_file_that_is_no_text_or_is_not_there_is_refused(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00\x01" * 100)
    for file in (binary, tmp_path / "missing", tmp_path):
        with pytest.raises(PlanningError, match="cannot be read as text"):
            read_trace(file)


@given(
    st.lists(
        st.one_of(
            st.text(max_size=40),
            st.dictionaries(
                st.sampled_from(["ts", "ms", "tokens", "id"]),
                st.one_of(st.none(), st.text(max_size=9), st.floats(), st.integers()),
                max_size=4,
            ).map(json.dumps),
        ),
        max_size=30,
    )
)
def test_whatever_the_rows_hold_a_trace_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, rows: list[str]
) -> None:
    file = tmp_path_factory.mktemp("traces") / "trace"
    file.write_bytes("\n".join(rows).encode("utf-8", "surrogatepass"))
    try:
        traffic = read_trace(file)
    except PlanningError:
        return
    assert traffic.calls_month >= 1
    assert traffic.span_us > traffic.arrivals_us[-1] >= traffic.arrivals_us[0] == 0
    assert sum(traffic.by_hour) == pytest.approx(traffic.calls_month)
