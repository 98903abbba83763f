"""Who is let into a batcher's queue, and what the others are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farthing.errors import Overloaded, TooManyWaiting
from farthing.inference.batcher.door import RESERVE_NS
from farthing.inference.batcher.gatherer import Gatherer
from farthing.inference.batcher.units import USUAL_NS_PER_TOKEN
from tests.inference.gathered import AMPLE_NS, Clock, WordModel, ask, held

if TYPE_CHECKING:
    from collections.abc import Iterator

# So many tokens keep the only thread for a second, as long as nothing was measured.
SECOND = 1_000_000_000 // USUAL_NS_PER_TOKEN
TENTH = "x" * (SECOND // 10)


@pytest.fixture
def model() -> WordModel:
    return WordModel("alone")


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    stopped = Clock()
    stopped.replace_the_batchers(monkeypatch)
    return stopped


@pytest.fixture
def busy(model: WordModel) -> Iterator[Gatherer]:
    """A batcher whose only thread is held by a call, and whose queue is empty."""
    opened = Gatherer(1, 1000)
    held(opened, model)
    yield opened
    model.is_open.set()
    opened.close()


def fill(batcher: Gatherer, model: WordModel, tenant: str, calls_max: int = 100) -> int:
    """Calls of a tenth of a second that were let in before one was refused."""
    for number in range(calls_max):
        try:
            ask(batcher, model, [TENTH], tenant=tenant)
        except (Overloaded, TooManyWaiting):
            return number
    return calls_max


def test_calls_are_refused_once_those_before_them_fill_the_time_that_one_may_wait(
    busy: Gatherer, model: WordModel
) -> None:
    assert fill(busy, model, "alone") == 11
    with pytest.raises(Overloaded) as refused:
        ask(busy, model, [TENTH], tenant="alone")
    assert refused.value.status == 503
    assert refused.value.headers == {"retry-after": "2"}
    assert "would wait about 1100 ms before it is begun, and may 1000." in str(refused.value)


def test_the_door_refuses_before_a_body_is_read(
    busy: Gatherer, model: WordModel, clock: Clock
) -> None:
    deadline_ns = clock.now_ns + AMPLE_NS
    busy.admit("alone", deadline_ns)
    fill(busy, model, "alone")
    with pytest.raises(Overloaded):
        busy.admit("alone", deadline_ns)
    busy.admit("another", deadline_ns)


def test_who_fills_the_queue_is_told_so_where_others_wait(busy: Gatherer, model: WordModel) -> None:
    fill(busy, model, "loud")
    ask(busy, model, [TENTH], tenant="quiet")
    with pytest.raises(TooManyWaiting) as refused:
        ask(busy, model, [TENTH], tenant="loud")
    assert refused.value.status == 429
    assert refused.value.headers == {"retry-after": "2"}
    assert fill(busy, model, "quiet") >= 3


def test_many_tenants_with_a_call_each_do_not_grow_the_queue_for_ever(
    busy: Gatherer, model: WordModel
) -> None:
    let_in = [fill(busy, model, f"tenant {number}", calls_max=1) for number in range(100)]
    assert sum(let_in) == 11


def test_a_call_is_refused_whose_deadline_is_before_its_turn(
    busy: Gatherer, model: WordModel
) -> None:
    for _ in range(3):
        ask(busy, model, [TENTH])
    ask(busy, model, [TENTH], left_ns=RESERVE_NS + 900_000_000)
    with pytest.raises(Overloaded):
        ask(busy, model, [TENTH], left_ns=RESERVE_NS + 200_000_000)


def test_a_call_larger_than_the_queue_is_taken_where_nothing_waits(
    busy: Gatherer, model: WordModel
) -> None:
    ask(busy, model, [TENTH] * 50)
    with pytest.raises(Overloaded):
        ask(busy, model, [TENTH] * 50)
    # It is passed by calls that are short.
    ask(busy, model, ["tiny"])
    assert busy._high.waiting_ns == (50 * len(TENTH) + 4) * USUAL_NS_PER_TOKEN


def test_what_waits_for_its_turn_in_the_low_lane_keeps_nobody_out(
    busy: Gatherer, model: WordModel
) -> None:
    for _ in range(11):
        ask(busy, model, [TENTH], is_low=True)
    with pytest.raises(Overloaded):
        ask(busy, model, [TENTH], is_low=True)
    assert fill(busy, model, "at once") == 11


def test_a_batcher_learns_how_long_tokens_take() -> None:
    opened, model = Gatherer(1, 1000), WordModel("alone")
    model.takes_s = 0.02
    for _ in range(3):
        ask(opened, model, ["tokens"]).result()
    held(opened, model)
    let_in = 0
    with pytest.raises(Overloaded):
        for let_in in range(200):  # noqa: B007 - how far it came is what is asked
            ask(opened, model, ["tokens"])
    model.is_open.set()
    opened.close()
    # Of twenty milliseconds each: fifty fill a second, and one may wait as long as that.
    assert let_in == 51


def test_equal_texts_fill_the_queue_once(busy: Gatherer, model: WordModel) -> None:
    for _ in range(50):
        ask(busy, model, ["same"], keys=[b"k"])
    assert busy._high.waiting_ns == 4 * USUAL_NS_PER_TOKEN
