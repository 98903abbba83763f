"""Every cost is on the provider's bill, every price on an invoice: to the last digit.

`python -m tests.bench.traces 10000` does the same for as many traces as one likes.
"""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farthing.billing.shares import SharedTime
from tests.core.traces import Trace


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rng=st.randoms(use_true_random=False))
def test_costs_add_up_to_the_bill_and_prices_to_the_invoices(rng: random.Random) -> None:
    Trace(rng).check()


def test_so_they_do_on_many_more_traces() -> None:
    for seed in range(800):
        Trace(random.Random(seed)).check()


def test_a_nanosecond_that_nobody_pays_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    leave = SharedTime.leave
    monkeypatch.setattr(SharedTime, "leave", lambda *args: max(0, leave(*args) - 1))
    with pytest.raises(AssertionError):
        for seed in range(50):
            Trace(random.Random(seed)).check()
