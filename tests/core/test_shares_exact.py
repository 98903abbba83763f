"""Shared time against the rule itself in exact fractions, and under threads."""

from __future__ import annotations

import random
import threading
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.billing.shares import Share, SharedTime

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["enter", "enter", "compute", "wait", "begin", "end", "leave", "idle"]),
        st.integers(0, 7),
        st.integers(0, 10**6),
        st.integers(1, 4096),
    ),
    max_size=80,
)


class Oracle:
    """Each instant divided among those present as the rule says, in fractions."""

    def __init__(self) -> None:
        self.weights: dict[int, int] = {}
        self.parts: dict[int, Fraction] = {}
        self.idle = Fraction(0)

    def pass_time(self, elapsed_ns: int) -> None:
        weights = self.weights
        if not weights:
            self.idle += elapsed_ns
            return
        if not any(weights.values()):
            weights = dict.fromkeys(weights, 1)
        whole = sum(weights.values())
        for item, weight in weights.items():
            self.parts[item] += Fraction(elapsed_ns * weight, whole)


class Pair:
    """Shared time and the oracle, told the same."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.shared, self.oracle = SharedTime(lambda: self.now_ns), Oracle()
        self.items: list[Share] = []
        self.begun: list[list[int]] = []

    def pass_time(self, elapsed_ns: int) -> None:
        self.now_ns += elapsed_ns
        self.oracle.pass_time(elapsed_ns)

    def enter(self) -> None:
        at = len(self.items)
        self.oracle.weights[at], self.oracle.parts[at] = 0, Fraction(0)
        self.items.append(self.shared.enter())
        self.begun.append([])

    def act(self, action: str, at: int, tokens: int) -> None:
        item, begun = self.items[at], self.begun[at]
        if action == "compute":
            item.compute(tokens)
            begun[:] = [tokens]
        elif action == "wait":
            item.wait()
            begun.clear()
        elif action == "begin":
            item.begin(tokens)
            begun.append(tokens)
        elif action == "end" and begun:
            item.end(begun.pop())
        elif action == "leave":
            item.leave()
            self.oracle.weights.pop(at, None)
        if at in self.oracle.weights:
            self.oracle.weights[at] = sum(begun)


@given(STEPS)
def test_each_share_is_the_rules_to_the_nanosecond(
    steps: list[tuple[str, int, int, int]],
) -> None:
    pair = Pair()
    for action, index, elapsed_ns, tokens in steps:
        pair.pass_time(elapsed_ns)
        if action == "enter":
            pair.enter()
        elif pair.items:
            pair.act(action, index % len(pair.items), tokens)
    busy_ns = [item.leave() for item in pair.items]
    assert sum(busy_ns) + pair.shared.take_idle_ns() == pair.now_ns
    for at, given_ns in enumerate(busy_ns):
        assert abs(given_ns - pair.oracle.parts[at]) <= 1 + Fraction(1, 10**9)


def test_what_has_left_is_given_nothing_more() -> None:
    now = [0]
    shared = SharedTime(lambda: now[0])
    gone, stays = shared.enter(), shared.enter()
    gone.begin(30)
    now[0] = 100
    assert gone.leave() == 100
    gone.end(30)
    gone.compute(5)
    now[0] = 250
    assert (gone.leave(), stays.leave(), shared.take_idle_ns()) == (100, 150, 0)


def test_runs_of_one_item_weigh_together() -> None:
    now = [0]
    shared = SharedTime(lambda: now[0])
    both, one = shared.enter(), shared.enter()
    both.begin(10)
    both.begin(20)
    one.begin(10)
    now[0] = 400
    both.end(10)
    now[0] = 700
    assert (both.leave(), one.leave()) == (500, 200)


@pytest.mark.parametrize("threads", [2, 8])
def test_under_threads_the_parts_and_the_idle_time_are_the_time_that_passed(threads: int) -> None:
    read = [time.perf_counter_ns()] * 2

    def clock_ns() -> int:
        # Read under the lock of what it is given to, so the last reading is the latest.
        read[1] = time.perf_counter_ns()
        return read[1]

    shared = SharedTime(clock_ns)
    read[0] = read[1]
    sums = [0] * threads

    def calls(number: int) -> None:
        generator = random.Random(number)
        for _ in range(2000):
            share = shared.enter()
            for tokens in generator.choices(range(1, 600), k=generator.randint(0, 3)):
                share.begin(tokens)
                share.end(tokens)
            sums[number] += share.leave()

    running = [threading.Thread(target=calls, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    idle_ns = shared.take_idle_ns()
    assert sum(sums) + idle_ns == read[1] - read[0]
