"""Rates: a minute's calls at once, then as many as the minute gives back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.billing import rates
from farthing.billing.rates import NS_PER_S, RateLimits
from farthing.errors import RateExceeded


class Clock:
    now_ns = 7 * NS_PER_S

    def __call__(self) -> int:
        return self.now_ns


def allowed(limits: RateLimits, key_id: str, per_minute: int) -> bool:
    try:
        limits.check(key_id, per_minute)
    except RateExceeded:
        return False
    return True


def test_a_minutes_calls_are_let_through_and_the_next_is_told_when_to_come_back() -> None:
    clock = Clock()
    limits = RateLimits(clock)
    assert [allowed(limits, "k", 6) for _ in range(7)] == [True] * 6 + [False]
    with pytest.raises(RateExceeded) as refused:
        limits.check("k", 6)
    assert refused.value.headers == {"retry-after": "10"}
    clock.now_ns += 10 * NS_PER_S
    assert [allowed(limits, "k", 6) for _ in range(2)] == [True, False]


def test_keys_do_not_share_a_bucket() -> None:
    limits = RateLimits(Clock())
    assert [allowed(limits, key, 1) for key in ("a", "b", "a")] == [True, True, False]


def test_the_key_that_called_longest_ago_is_forgotten_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rates, "KEYS_MAX", 2)
    limits = RateLimits(Clock())
    for key in ("a", "b", "a", "c"):
        allowed(limits, key, 2)
    assert [allowed(limits, key, 2) for key in ("a", "c")] == [False, True]
    assert allowed(limits, "b", 1)


@given(
    per_minute=st.integers(1, 600),
    waits_ns=st.lists(st.integers(0, 5 * NS_PER_S), max_size=200),
)
def test_no_minute_lets_through_more_than_a_full_bucket_and_what_flowed_in(
    per_minute: int, waits_ns: list[int]
) -> None:
    clock = Clock()
    limits = RateLimits(clock)
    started_ns = clock.now_ns
    passed = 0
    for wait_ns in waits_ns:
        clock.now_ns += wait_ns
        passed += allowed(limits, "k", per_minute)
        flowed_in = per_minute * (clock.now_ns - started_ns) / (60 * NS_PER_S)
        assert passed <= per_minute + flowed_in + 1e-6
