"""A call that cannot be finished in time is not begun, and one that can is not refused."""

from __future__ import annotations

import pytest

from farthing.errors import DeadlineTooNear
from farthing.serving.envelope import Envelope, deadline_after
from farthing.serving.pace import Pace

MS = 1_000_000


class Clock:
    now_ns = 0

    def perf_counter_ns(self) -> int:
        return self.now_ns


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What calls and their deadlines go by; it stands still until it is set."""
    stopped = Clock()
    for module in ("envelope", "pace"):
        monkeypatch.setattr(f"farthing.serving.{module}.time", stopped)
    return stopped


def due_in(milliseconds: int) -> Envelope:
    return Envelope("attempt", deadline_after(milliseconds), "acme")


def test_an_unlearned_pace_refuses_only_what_has_no_time_at_all() -> None:
    Pace().check(due_in(500), tokens=10**9)
    with pytest.raises(DeadlineTooNear, match="ms are left") as refused:
        Pace().check(due_in(40), tokens=1)
    assert refused.value.headers == {"retry-after": "1"}


def test_a_call_is_refused_by_what_tokens_took_before() -> None:
    pace = Pace()
    pace.learn(tokens=100, compute_ns=100 * MS)
    pace.check(due_in(5_000), tokens=1_000)
    with pytest.raises(DeadlineTooNear):
        pace.check(due_in(5_000), tokens=10_000)


def test_short_calls_do_not_make_long_ones_look_slow() -> None:
    pace = Pace()
    pace.learn(tokens=3, compute_ns=9 * MS)
    pace.learn(tokens=1_000, compute_ns=100 * MS)
    pace.learn(tokens=3, compute_ns=9 * MS)
    pace.check(due_in(5_000), tokens=20_000)


def test_a_batch_is_refused_by_the_pace_of_its_own_call(clock: Clock) -> None:
    before_batch = Pace().guard(due_in(1_000))
    before_batch(100)
    clock.now_ns = 300 * MS
    before_batch(100)
    clock.now_ns = 600 * MS
    with pytest.raises(DeadlineTooNear):
        before_batch(100)
