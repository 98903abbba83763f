"""The store in the process: an LRU by bytes, as good as an ideal one, from any thread."""

from __future__ import annotations

import random
import threading
import tracemalloc
from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.serving.cache.memory import ENTRY_BYTES, MemoryStore

VALUE = bytes(100)
SIZE = 2 + len(VALUE) + ENTRY_BYTES


def key(number: int) -> bytes:
    return number.to_bytes(2, "little")


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=120))
def test_what_is_held_is_what_an_ideal_lru_holds(asked: list[tuple[bool, int]]) -> None:
    store, ideal = MemoryStore(5 * SIZE), OrderedDict[int, None]()
    for is_put, number in asked:
        if is_put:
            store.put_many([(key(number), VALUE)], 60)
            ideal[number] = None
            ideal.move_to_end(number)
            while len(ideal) > 5:
                ideal.popitem(last=False)
        else:
            (found,) = store.get_many([key(number)])
            assert (found is not None) == (number in ideal)
            if found is not None:
                ideal.move_to_end(number)
        assert len(store) == len(ideal)
        assert store.bytes_held == len(ideal) * SIZE


def test_a_value_larger_than_all_room_is_not_held() -> None:
    store = MemoryStore(SIZE)
    store.put_many([(key(1), bytes(10 * SIZE))], 60)
    assert (store.get_many([key(1)]), len(store), store.bytes_held) == ([None], 0, 0)


def test_an_entry_goes_when_its_own_time_is_over() -> None:
    clock = Clock()
    store = MemoryStore(1 << 20, clock)
    store.put_many([(key(1), b"brief")], 10)
    store.put_many([(key(2), b"a year")], 365 * 24 * 3600)
    clock.now_s += 9.9
    assert store.get_many([key(1), key(2)]) == [b"brief", b"a year"]
    clock.now_s += 0.1
    assert store.get_many([key(1), key(2)]) == [None, b"a year"]
    assert len(store) == 1


def test_a_new_value_has_a_new_time_to_live() -> None:
    clock = Clock()
    store = MemoryStore(1 << 20, clock)
    store.put_many([(key(1), b"old")], 10)
    clock.now_s += 8
    store.put_many([(key(1), b"newer")], 10)
    clock.now_s += 8
    assert store.get_many([key(1)]) == [b"newer"]
    assert store.bytes_held == 2 + 5 + ENTRY_BYTES


@pytest.mark.parametrize("value_bytes", [60, 1_600])
def test_entries_take_no_more_memory_than_is_counted(value_bytes: int) -> None:
    store, count = MemoryStore(1 << 30), 5_000
    tracemalloc.start()
    try:
        for number in range(count):
            store.put_many([(number.to_bytes(20, "little"), bytes(value_bytes))], 60)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.7 * store.bytes_held < taken <= store.bytes_held


def test_threads_leave_it_whole() -> None:
    store, failures = MemoryStore(40 * SIZE), []

    def storm(seed: int) -> None:
        choose = random.Random(seed)
        try:
            for _ in range(3_000):
                number = choose.randrange(100)
                store.put_many([(key(number), VALUE)], choose.choice([1, 60]))
                (found,) = store.get_many([key(choose.randrange(100))])
                assert found in {None, VALUE}
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=storm, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert store.bytes_held == len(store) * SIZE <= 40 * SIZE


def test_a_zipf_trace_is_answered_as_often_as_by_an_ideal_lru() -> None:
    texts, asked, room = 2_000, 20_000, 200
    choose = random.Random(3)
    weights = [1 / rank for rank in range(1, texts + 1)]
    trace = choose.choices(range(texts), weights, k=asked)
    store, ideal = MemoryStore(room * SIZE), OrderedDict[int, None]()
    hits = ideal_hits = 0
    for number in trace:
        if store.get_many([key(number)])[0] is None:
            store.put_many([(key(number), VALUE)], 3600)
        else:
            hits += 1
        ideal_hits += number in ideal
        ideal[number] = None
        ideal.move_to_end(number)
        if len(ideal) > room:
            ideal.popitem(last=False)
    assert hits == ideal_hits > 0.5 * asked
