"""What every ledger keeps, whatever it is made of."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

import pytest

from farthing.billing.stores import open_store
from farthing.errors import SettingsError
from tests.ledger.facts import DAY_MS, HOUR_MS, NOON_MS, entry, record, root, usage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farthing.billing.ledger import Entry, Store

ALWAYS = 0, 2**62


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda one: (one.at_ms, one.writer, one.number))


def test_an_entry_comes_back_as_it_was(store: Store) -> None:
    plain = entry()
    full = entry(
        2,
        kind="refusal",
        tenant="house",
        status=402,
        plan="gold",
        unleased=True,
        price_max_pico=2**60,
        model='ünïcode "quoted" \\ \n 模型 \x00',
        request_id="",
    )
    cached = entry(3, usage=usage(cache="hit", cached_tokens=23))
    partly = entry(4, usage=usage(cache="miss", cached_tokens=2**40))
    group = [plain, full, cached, partly]
    store.append(group)
    assert list(store.entries(*ALWAYS)) == group


def test_appending_again_changes_nothing(store: Store) -> None:
    group = [entry(number) for number in range(1, 51)]
    store.append(group)
    store.append(group)
    store.append([*group[20:], entry(51)])
    store.append([entry(7, tenant="thief"), entry(52), entry(52)])
    assert list(store.entries(*ALWAYS)) == [*group, entry(51), entry(52)]


def test_an_empty_group_is_kept_as_nothing(store: Store) -> None:
    store.append([])
    store.append_records(iter(()))
    assert not list(store.entries(*ALWAYS))
    assert not list(store.records(*ALWAYS))


def test_a_group_larger_than_any_page_is_read_whole_and_in_order(store: Store) -> None:
    group = [
        entry(number, writer=f"writer-{number % 7}", at_ms=NOON_MS + number % 11 * HOUR_MS // 3)
        for number in range(1, 2_501)
    ]
    shuffled = random.Random(4).sample(group, len(group))
    store.append(iter(shuffled))
    assert list(store.entries(*ALWAYS)) == in_order(group)


def test_a_span_has_its_first_moment_and_not_its_last(store: Store) -> None:
    moments = [NOON_MS - DAY_MS, NOON_MS - 1, NOON_MS, NOON_MS + HOUR_MS - 1, NOON_MS + HOUR_MS]
    group = [entry(number, at_ms=at_ms) for number, at_ms in enumerate(moments, 1)]
    store.append(group)
    assert list(store.entries(NOON_MS, NOON_MS + HOUR_MS)) == group[2:4]
    assert list(store.entries(NOON_MS, NOON_MS)) == []
    assert list(store.entries(NOON_MS + 1, NOON_MS)) == []
    assert list(store.entries(0, NOON_MS)) == group[:2]


@pytest.mark.parametrize("at_ms", [0, 1, 253_402_300_799_999])
def test_any_clock_is_kept(store: Store, at_ms: int) -> None:
    store.append([entry(at_ms=at_ms)])
    assert [one.at_ms for one in store.entries(at_ms, at_ms + 1)] == [at_ms]


def test_a_clock_that_goes_backwards_loses_nothing(store: Store) -> None:
    group = [entry(number, at_ms=NOON_MS - number * HOUR_MS) for number in range(1, 40)]
    for one in group:
        store.append([one])
    assert list(store.entries(*ALWAYS)) == in_order(group)


def test_one_tenants_entries_can_be_read_alone(store: Store) -> None:
    names = ["acme", "acm", "acme-2", "house"]
    group = [entry(number, tenant=names[number % 4]) for number in range(1, 41)]
    store.append(group)
    for name in names:
        mine = [one for one in group if one.tenant == name]
        assert list(store.entries(*ALWAYS, tenant=name)) == mine
    assert list(store.entries(*ALWAYS, tenant="nobody")) == []


def test_records_are_kept_once_for_each_source(store: Store) -> None:
    group = [record(number) for number in range(1, 31)]
    store.append_records(group)
    store.append_records(reversed(group))
    store.append_records([record(3, billed_ms=9_999), record(31, restore_ns=5, status="timeout")])
    assert list(store.records(*ALWAYS)) == [
        *group,
        record(31, restore_ns=5, status="timeout"),
    ]
    assert list(store.records(NOON_MS + 3, NOON_MS + 5)) == group[2:4]


def test_names_are_ordered_by_code_point_everywhere(store: Store) -> None:
    names = ["a", "B", "a-b", "a_b", "ab", "Z", "~", "0", "a.b"]
    store.append(entry(1, writer=name, at_ms=NOON_MS) for name in names)
    assert [one.writer for one in store.entries(*ALWAYS)] == sorted(names)


def test_a_root_is_kept_where_its_sequence_is_free(store: Store) -> None:
    assert store.append_root(root(0))
    assert store.append_root(root(1))
    assert not store.append_root(root(1, count=8))
    assert not store.append_root(root(0))
    assert store.append_root(root(0, tenant="acme-2"))
    assert store.append_root(root(0, tenant="acm"))
    assert [(one.tenant, one.sequence) for one in store.roots()] == [
        ("acm", 0),
        ("acme", 0),
        ("acme", 1),
        ("acme-2", 0),
    ]
    assert list(store.roots(tenant="acme")) == [root(0), root(1)]


def test_roots_beyond_the_tenth_stay_in_order(store: Store) -> None:
    for sequence in range(12):
        assert store.append_root(root(sequence))
    assert [one.sequence for one in store.roots(tenant="acme")] == list(range(12))


def test_of_many_who_append_the_same_root_one_does(store: Store) -> None:
    kept: list[bool] = []

    def append(number: int) -> None:
        kept.append(store.append_root(root(0, signed_at_ms=number)))

    threads = [threading.Thread(target=append, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(kept) == [False] * 7 + [True]


def test_a_mark_is_what_it_was_last_set_to(store: Store) -> None:
    assert store.mark("log/classify") == ""
    store.set_mark("log/classify", "1795")
    store.set_mark("log/classify", "1796")
    store.set_mark("log/embed", "模")
    assert store.mark("log/classify") == "1796"
    assert store.mark("log/embed") == "模"


def test_what_is_read_slowly_may_be_appended_to(store: Store) -> None:
    store.append(entry(number) for number in range(1, 2_001))
    seen = []
    for one in store.entries(*ALWAYS):
        seen.append(one.number)
        if one.number % 500 == 0:
            store.append([entry(10_000 + one.number)])
    assert sorted(set(seen)) == sorted(seen)
    assert set(range(1, 2_001)) <= set(seen)


def test_a_ledger_is_found_again(shared_url: str) -> None:
    first = open_store(shared_url)
    first.append([entry(1), entry(2)])
    first.set_mark("place", "here")
    first.close()
    second = open_store(shared_url)
    assert list(second.entries(*ALWAYS)) == [entry(1), entry(2)]
    assert second.mark("place") == "here"
    second.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ledger.db",
        "mysql://secret@host/x",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///x.db?synchronous=OFF",
        "dynamodb://",
        "postgresql://secret@host:port/x",
    ],
)
def test_an_address_that_is_none_is_refused_and_not_repeated(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with pytest.raises(SettingsError) as refused:
        open_store(url)
    assert "secret" not in str(refused.value)
    assert "FARTHING_LEDGER" in str(refused.value)
