"""What a copy of a process must not inherit, and what an environment does around its snapshot."""

from __future__ import annotations

import gc
import os
import random
import signal
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from farthing.billing.copies import begin_copy, call_in_copies
from farthing.billing.shares import SharedTime
from farthing.billing.stores import LazyStore, aws, credentials
from farthing.billing.stores.credentials import credentials_of
from farthing.billing.tenants import PICO_PER_USD, Budget, Tenant
from farthing.errors import StoreUnavailable
from farthing.serving import snapshots
from tests.core.test_aws import FINE, PATIENCE_S, Scripted, agent
from tests.core.test_leases import CALL, Clock, CountedStore, leases_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LEASE_MS = 60_000


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is late is asked again, on another connection."""
    monkeypatch.setattr(aws, "READ_S_MAX", PATIENCE_S)
    monkeypatch.setattr(credentials, "AGENT_S_MAX", PATIENCE_S)


class Noted:
    """Notes its name each time that it begins."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self._name = name
        self._notes = notes

    def begin(self) -> None:
        self._notes.append(self._name)


def in_a_fork(work: Callable[[], str]) -> str:
    """What the work comes to in a forked child, which ends with it."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        # Whatever goes wrong in here, no test may run on in a child.
        signal.alarm(int(PATIENCE_S))
        try:
            os.write(write, work().encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as told:
        return told.read()


def test_copies_begin_in_the_order_in_which_they_were_told_to_and_only_while_they_live() -> None:
    notes: list[str] = []
    first, second, third = (Noted(name, notes) for name in ("first", "second", "third"))
    for noted in (first, second, third):
        call_in_copies(noted.begin)
    begin_copy()
    assert notes == ["first", "second", "third"]
    del second, noted
    gc.collect()
    begin_copy()
    assert notes[3:] == ["first", "third"]


def test_a_fork_begins_by_itself_and_its_parent_does_not() -> None:
    notes: list[str] = []
    noted = Noted("copied", notes)
    call_in_copies(noted.begin)
    assert in_a_fork(lambda: ",".join(notes)) == "copied"
    assert notes == []


def test_a_copy_opens_a_store_of_its_own() -> None:
    store = LazyStore("memory:")
    store.set_mark("reader", "original")
    assert in_a_fork(lambda: str(store.mark("reader") == "")) == "True"
    assert store.mark("reader") == "original"
    begin_copy()
    assert store.mark("reader") == ""


def test_a_copy_does_not_write_on_its_originals_connection() -> None:
    scripted = Scripted(FINE)
    with scripted.running() as client:
        for _ in range(2):
            client.call("GetItem")
        assert scripted.connections == 1
        assert in_a_fork(lambda: str(client.call("GetItem"))) == "{'Item': {}}"
        assert scripted.connections == 2
        client.call("GetItem")
        assert scripted.connections == 2


def test_a_copy_asks_for_the_roles_key_again() -> None:
    with agent("2999-01-01T00:00:00Z") as (server, environ):
        key = credentials_of(environ)
        assert key() == key()
        assert server.asked == 1
        begin_copy()
        assert key() == key()
        assert server.asked == 2


def test_a_copy_neither_spends_nor_returns_its_originals_leases() -> None:
    store, clock = CountedStore(), Clock()
    store.put_tenant(Tenant(name="shop", budgets=(Budget("month", PICO_PER_USD),)))
    leases = leases_of(store, clock)
    hold = leases.admit("shop", CALL)
    hold.settle(CALL)
    store.is_down = True
    leases.close()
    store.is_down = False
    clock.pass_ms(LEASE_MS)
    begin_copy()
    store.asked.clear()
    other = leases.admit("shop", CALL)
    other.settle(CALL)
    assert store.asked == ["lease"]
    assert other.lease_id not in {"", hold.lease_id}


def test_a_list_of_revoked_keys_ages_while_the_steady_clock_stands_still() -> None:
    store, clock = CountedStore(), Clock()
    store.put_tenant(Tenant(name="shop", budgets=(Budget("month", PICO_PER_USD),)))
    leases = leases_of(store, clock)
    assert not leases.is_revoked("shop", "k")
    store.put_tenant(Tenant(name="shop", revoked=("k",)))
    assert not leases.is_revoked("shop", "k")
    clock.wall_ms += 61_000
    assert leases.is_revoked("shop", "k")


class Closed:
    """Something that is closed before a snapshot."""

    def __init__(self) -> None:
        self.times = 0
        self.store: Asked | None = None

    def close(self) -> None:
        self.times += 1


class Asked:
    """A store that is down, and notes what it is asked."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def tenant(self, name: str) -> None:
        self.names.append(name)
        raise StoreUnavailable("down")


class Loaded:
    """As much of a service as a snapshot touches."""

    def __init__(self, cache: Closed | None) -> None:
        self.accounts = Closed()
        self.pipeline = self
        self.instance = self
        self.cache = cache
        self.restored = 0

    def snapshot(self) -> None:
        self.restored += 1


@pytest.fixture
def thawed() -> Iterator[None]:
    """What a test froze for good may be collected again."""
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("thawed")
@pytest.mark.parametrize("cache", [None, Closed()], ids=["uncached", "cached"])
def test_before_a_snapshot_all_is_given_back_and_garbage_is_gone(cache: Closed | None) -> None:
    service: Any = Loaded(cache)
    frozen = gc.get_freeze_count()
    snapshots.prepare(service)
    assert service.accounts.times == 1
    assert cache is None or cache.times == 1
    assert gc.get_freeze_count() > frozen


@pytest.mark.usefixtures("thawed")
def test_a_store_that_is_down_before_a_snapshot_keeps_nobody_from_taking_it() -> None:
    service: Any = Loaded(None)
    store = service.accounts.store = Asked()
    snapshots.prepare(service)
    assert store.names == ["house"]
    assert service.accounts.times == 1


def test_after_a_restore_chance_is_another_and_the_restore_is_carried_once() -> None:
    service: Any = Loaded(None)
    notes: list[str] = []
    noted = Noted("copied", notes)
    call_in_copies(noted.begin)
    random.seed(7)
    expected = random.random()
    random.seed(7)
    snapshots.resume(service)
    assert random.random() != expected
    assert len(ssl.RAND_bytes(8)) == 8
    assert (notes, service.restored) == (["copied"], 1)


def test_time_in_which_nobody_was_present_is_nobodys_call() -> None:
    now_ns = 0
    shared = SharedTime(lambda: now_ns)
    now_ns = 86_400 * 10**9
    share = shared.enter()
    now_ns += 5
    assert share.leave() == 5
    assert shared.take_idle_ns() == 86_400 * 10**9
