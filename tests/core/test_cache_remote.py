"""A real Redis beside the process: shared, spoilt, killed, frozen; no call fails or waits long."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
import redis

from farthing.serving.cache import redis as redis_store
from farthing.serving.cache.circuit import FAILURES_MAX, Circuit
from farthing.serving.cache.entry import Entry, Schema
from farthing.serving.cache.key import Keys
from farthing.serving.cache.ports import Stats
from farthing.serving.cache.remote import WAITING_BYTES_MAX, RemoteStore
from tests.core.caching import UNTIL_S, Cached, close_all, wait_until
from tests.core.redis_server import RedisServer
from tests.core.test_cache_answers import SECRET, usage
from tests.functions.server import LOOPBACK, ROOT, refusing_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# What nobody would wait for unasked, on a machine that is busy with other things; a call that
# waited for Redis would take as long as its client does.
LONG_S = 20.0
CLIENT_S = 60.0
PREFIX = b"farthing:"
# A machine that runs other tests at once is late by more than five milliseconds.
PATIENT = {"cache_wait_ms": 60_000}


@pytest.fixture
def server(tmp_path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as running:
        yield running


@pytest.fixture(autouse=True)
def _closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for bound in ("CONNECT_S_MAX", "ANSWER_S_MAX"):
        monkeypatch.setattr(redis_store, bound, CLIENT_S)
    yield
    close_all()


def key_of(text: str, tenant: str = "acme", digest: str = "d" * 64) -> bytes:
    return PREFIX + Keys("classify", digest, "float32", tenant).of(text)


def test_two_processes_share_their_answers(server: RedisServer) -> None:
    one, other = (Cached(server.url, **PATIENT).connected() for _ in range(2))
    first = one.classify("banana", "aab1")
    one.forget()
    second = other.classify("banana", "aab1")
    assert second.body["results"] == first.body["results"]
    assert (usage(second)[0], other.classifier.computed) == ("hit", 0)
    assert other.tally().remote_hits == 2
    # Now it is in the process, and Redis is not asked.
    server.kill()
    assert usage(other.classify("banana", "aab1"))[0] == "hit"


def test_another_process_reads_what_this_one_wrote(server: RedisServer) -> None:
    cached = Cached(server.url, **PATIENT).connected()
    cached.classify("banana")
    cached.forget()
    code = (
        "from farthing.serving.cache import redis\n"
        "from tests.core.caching import Cached\n"
        f"redis.ANSWER_S_MAX = {CLIENT_S}\n"
        f"told = Cached({server.url!r}, cache_wait_ms=60_000).connected().classify('banana')\n"
        "print(told.body['usage']['cache'], told.body['results'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == f"hit {cached.classify('banana').body['results']}", done.stderr


def test_what_redis_had_lives_on_for_no_longer_than_it_was_meant_to(server: RedisServer) -> None:
    cached = Cached(server.url, cache_ttl_s=100, **PATIENT).connected()
    entry = Entry(bytes(12), tokens=6, truncated=False, written_s=int(time.time()) - 60)
    key = key_of("banana")
    value = Schema("float32", 3).encode(key.removeprefix(PREFIX), entry)
    with redis.Redis.from_url(server.url) as client:
        client.set(key, value)
    assert usage(cached.classify("banana"))[0] == "hit"
    ((_, kept),) = cached.cache._memory._kept.items()
    assert 30 < kept.expires_s - time.monotonic() <= 40


@pytest.mark.parametrize(
    "poison",
    ["flipped", "cut", "of another key", "of another shape", "from the future", "foreign", "empty"],
)
def test_a_poisoned_entry_is_computed_and_replaced(server: RedisServer, poison: str) -> None:
    cached = Cached(server.url, **PATIENT).connected()
    honest = cached.classify("banana").body["results"]
    cached.forget()
    key, now_s = key_of("banana"), int(time.time())
    bare, entry = key.removeprefix(PREFIX), Entry(bytes(12), 6, False, now_s)
    schema = Schema("float32", 3)
    with redis.Redis.from_url(server.url) as client:
        value = client.get(key)
        client.set(
            key,
            {
                "flipped": value[:30] + bytes([value[30] ^ 4]) + value[31:],
                "cut": value[:-1],
                "of another key": schema.encode(key_of("xyz").removeprefix(PREFIX), entry),
                "of another shape": Schema("float32", 4).encode(
                    bare, entry._replace(payload=bytes(16))
                ),
                "from the future": schema.encode(bare, entry._replace(written_s=now_s + 1_000)),
                "foreign": b"hello",
                "empty": b"",
            }[poison],
        )
        again = cached.classify("banana")
        assert (again.body["results"], usage(again)[0]) == (honest, "miss")
        assert cached.tally().refused == 1
        cached.forget()
        replaced, first = (schema.decode(bare, kept) for kept in (client.get(key), value))
        assert replaced is not None
        assert replaced[:3] == first[:3]
    assert usage(cached.classify("banana"))[0] == "hit"


def test_an_entry_of_another_type_is_only_a_miss(server: RedisServer) -> None:
    cached = Cached(server.url, **PATIENT).connected()
    with redis.Redis.from_url(server.url) as client:
        client.rpush(key_of("banana"), "a list")
    assert usage(cached.classify("banana"))[0] == "miss"
    assert cached.tally().unanswered == 0


def test_clocks_may_differ_by_minutes(server: RedisServer) -> None:
    cached = Cached(server.url, **PATIENT).connected()
    entry = Entry(bytes(12), tokens=6, truncated=False, written_s=int(time.time()) + 200)
    key = key_of("banana")
    with redis.Redis.from_url(server.url) as client:
        client.set(key, Schema("float32", 3).encode(key.removeprefix(PREFIX), entry))
    assert usage(cached.classify("banana"))[0] == "hit"


@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_no_call_fails_or_waits_long_while_redis_is_gone(
    server: RedisServer, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    cached = Cached(server.url, cache_wait_ms=250).connected()
    expected = cached.classify("banana").body["results"]
    cached.forget()
    caplog.clear()
    server.kill() if fault == "killed" else server.freeze()
    waited_s = []
    for number in range(60):
        started_s = time.perf_counter()
        outcome = cached.classify("banana")
        waited_s.append(time.perf_counter() - started_s)
        assert outcome.body["results"] == expected
        cached.cache._memory.close()
        if number == 2 * FAILURES_MAX:
            assert not cached.cache.is_remote
    assert max(waited_s) < LONG_S
    tally = cached.tally()
    assert FAILURES_MAX <= tally.unanswered <= 3 * FAILURES_MAX
    assert tally.skipped >= 60 - 2 * FAILURES_MAX
    server.start() if fault == "killed" else server.thaw()
    wait_until(lambda: cached.cache.is_remote)

    def is_answered_by_redis() -> bool:
        cached.forget()
        return usage(cached.classify("banana"))[0] == "hit"

    wait_until(is_answered_by_redis)
    # One word when it goes, one when it comes back; nothing for each call.
    assert len(caplog.records) == 2, caplog.text
    assert str(server.port) not in caplog.text


def test_a_redis_that_was_never_there_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with refusing_port() as port:
        cached = Cached(f"redis://user:{SECRET}@{LOOPBACK}:{port}/0")
        wait_until(lambda: bool(caplog.records))
        for _ in range(3):
            assert cached.classify("banana").status == 200
        assert usage(cached.classify("banana"))[0] == "hit"
        assert (cached.tally().unanswered, cached.tally().dropped) == (0, 1)
        assert SECRET not in caplog.text
        cached.pipeline.cache.close()


def test_a_redis_with_another_password_is_as_good_as_none(
    tmp_path, caplog: pytest.LogCaptureFixture
) -> None:
    with RedisServer(tmp_path / "locked", "--requirepass", "right") as locked:
        cached = Cached(f"redis://:{SECRET}@{LOOPBACK}:{locked.port}/0", **PATIENT)
        wait_until(lambda: bool(caplog.records))
        assert cached.classify("banana").status == 200
        assert SECRET not in caplog.text
        assert Cached(f"redis://:right@{LOOPBACK}:{locked.port}/0", **PATIENT).connected()


def test_a_child_has_connections_of_its_own(server: RedisServer) -> None:
    cached = Cached(server.url, **PATIENT).connected()
    cached.classify("banana")
    cached.forget()
    children = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            # Whatever goes wrong in here, no test may run on in a child.
            signal.alarm(UNTIL_S)
            status = 1
            try:
                cached.connected()
                told = [usage(cached.classify("banana"))[0]]
                for at in range(50):
                    cached.classify(f"child {number} {at}")
                    cached.forget()
                    told.append(usage(cached.classify(f"child {number} {at}"))[0])
                status = 0 if set(told) == {"hit"} else 2
            finally:
                os._exit(status)
        children.append(child)
    for at in range(50):
        cached.classify(f"parent {at}")
        cached.forget()
        assert usage(cached.classify(f"parent {at}"))[0] == "hit"
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]


def test_on_lambda_an_answer_is_written_before_it_is_given(server: RedisServer) -> None:
    environ = {"AWS_LAMBDA_FUNCTION_NAME": "classify"}
    cached = Cached(server.url, environ=environ, vcpu_milli=1000, **PATIENT).connected()
    cached.classify("banana")
    with redis.Redis.from_url(server.url) as client:
        assert client.exists(key_of("banana"))
        assert 0 < client.ttl(key_of("banana")) <= 3600


class Slow:
    """A store that answers after so long, unless it is let go."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.go = seconds, threading.Event()
        self.written = 0

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        self.go.wait(self.seconds)
        return [None] * len(keys)

    def put_many(self, pairs: Sequence[tuple[bytes, bytes]], ttl_s: int) -> None:
        self.go.wait(self.seconds)
        self.written += len(pairs)

    def close(self) -> None:
        self.go.set()


@pytest.mark.parametrize("found", [b"ab", ["text", None], [None], None, [1, 2], {}])
def test_what_is_no_stores_answer_is_none(found: object) -> None:
    store, stats = Slow(), Stats()
    remote = RemoteStore(lambda: store, 0.2, stats, writes_behind=True)
    wait_until(lambda: remote.is_asked)
    store.get_many = lambda keys: found
    assert remote.get_many([b"one", b"other"]) == [None, None]
    assert stats.read().unanswered == 1
    remote.close()


def test_writes_wait_up_to_so_many_bytes_and_are_dropped_beyond() -> None:
    store, stats = Slow(), Stats()
    remote = RemoteStore(lambda: store, 0.2, stats, writes_behind=True)
    wait_until(lambda: remote.is_asked)
    store.seconds = 60
    value = bytes(WAITING_BYTES_MAX // 10)
    for number in range(30):
        remote.put_many([(bytes([number]) * 20, value)], 60)
    dropped = stats.read().dropped
    assert 15 < dropped < 25
    store.go.set()
    assert remote.flush(UNTIL_S)
    assert store.written == 30 - dropped
    remote.close()


def test_a_store_that_is_always_too_slow_is_never_asked() -> None:
    store, stats = Slow(0.3), Stats()
    remote = RemoteStore(lambda: store, 0.05, stats, writes_behind=True)
    time.sleep(0.8)
    assert not remote.is_asked
    assert remote.get_many([b"key"]) == [None]
    assert stats.read().skipped == 1
    store.go.set()
    wait_until(lambda: remote.is_asked)
    remote.close()
    # Closed, it is a store that has nothing.
    assert remote.get_many([b"key"]) == [None]


def test_a_circuit_opens_after_failures_in_a_row_only() -> None:
    tried = Circuit()
    assert tried.is_open
    tried.tried("")
    for _ in range(3):
        for _ in range(FAILURES_MAX - 1):
            assert not tried.fail("TimeoutError")
        tried.succeed()
    assert not tried.is_open
    for _ in range(FAILURES_MAX - 1):
        tried.fail("TimeoutError")
    assert tried.fail("TimeoutError")
    assert tried.is_open


def test_trials_come_rarer_and_never_all_at_once() -> None:
    tried = Circuit()
    assert tried.pause_s() == 0
    tried.tried("")
    for _ in range(FAILURES_MAX):
        tried.fail("TimeoutError")
    for longest_s in (1, 2, 4, 8, 16, 30, 30):
        pauses_s = [tried.pause_s() for _ in range(200)]
        assert len(set(pauses_s)) > 100
        assert 0.5 * longest_s <= min(pauses_s) < 0.6 * longest_s
        assert 0.9 * longest_s < max(pauses_s) <= longest_s
        tried.tried("TimeoutError")
    tried.tried("")
    assert not tried.is_open


def test_a_circuit_says_once_that_it_opened_and_once_that_it_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    tried = Circuit()
    tried.tried("")
    assert not caplog.records
    for _ in range(3 * FAILURES_MAX):
        tried.fail("TimeoutError")
    for _ in range(4):
        tried.tried("ConnectionError")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "does not answer in time (TimeoutError)" in caplog.text
    tried.tried("")
    assert len(caplog.records) == 2
    assert "answers again" in caplog.text
