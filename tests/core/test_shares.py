"""Shared time: every nanosecond has exactly one payer."""

from hypothesis import given
from hypothesis import strategies as st

from farthing.billing.shares import Share, SharedTime


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def test_one_item_alone_pays_its_whole_presence() -> None:
    clock = Clock()
    shared = SharedTime(clock)
    clock.now_ns = 5
    item = shared.enter()
    clock.now_ns = 8
    item.compute(tokens=12)
    clock.now_ns = 20
    assert item.leave() == 15
    assert shared.take_idle_ns() == 5


def test_computing_items_share_by_tokens_and_waiting_ones_pay_nothing() -> None:
    clock = Clock()
    shared = SharedTime(clock)
    long, short, waiting = shared.enter(), shared.enter(), shared.enter()
    long.compute(tokens=30)
    short.compute(tokens=10)
    clock.now_ns = 400
    assert (long.leave(), short.leave()) == (300, 100)
    clock.now_ns = 450
    assert waiting.leave() == 50


def test_items_that_only_wait_share_equally() -> None:
    clock = Clock()
    shared = SharedTime(clock)
    first, second = shared.enter(), shared.enter()
    clock.now_ns = 11
    assert sorted((first.leave(), second.leave())) == [5, 6]


def test_leaving_twice_adds_nothing() -> None:
    clock = Clock()
    shared = SharedTime(clock)
    item = shared.enter()
    clock.now_ns = 3
    assert item.leave() == 3
    clock.now_ns = 9
    assert item.leave() == 3


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["enter", "compute", "wait", "leave", "idle"]),
        st.integers(0, 5),
        st.integers(0, 1000),
        st.integers(1, 512),
    ),
    max_size=60,
)


@given(STEPS)
def test_parts_and_idle_time_add_up_to_the_time_that_passed(
    steps: list[tuple[str, int, int, int]],
) -> None:
    clock = Clock()
    shared = SharedTime(clock)
    items: list[Share] = []
    for action, index, elapsed_ns, tokens in steps:
        clock.now_ns += elapsed_ns
        if action == "enter":
            items.append(shared.enter())
        elif items and action == "compute":
            items[index % len(items)].compute(tokens)
        elif items and action == "wait":
            items[index % len(items)].wait()
        elif items and action == "leave":
            items[index % len(items)].leave()
    parts = sum(item.leave() for item in items)
    assert parts + shared.take_idle_ns() == clock.now_ns
