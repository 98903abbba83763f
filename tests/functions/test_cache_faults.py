"""Whatever becomes of the cache beside a server, calls are answered rightly and booked once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.functions.cache_faults import (
    REDIS,
    Load,
    Nonsense,
    Redis,
    differences,
    failures,
    found_in,
    garbage,
    keys_of,
    misbooked,
    missed_in,
    server_with,
    silence,
    spoil,
    wait_for,
    wrong_values,
)
from tests.functions.server import Server, farthing

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Serve

# How often a server asks a cache for nothing before it asks for anything.
TRIALS = 2

needs_redis = pytest.mark.skipif(
    REDIS is None, reason="NO REDIS: install the package `redis-server` to run what needs one"
)


@pytest.fixture(scope="module")
def plain(serve_for_session: Serve) -> Server:
    """A server that computes every answer."""
    command = farthing("serve", "--port", "{port}", "--model", "product-classifier")
    return serve_for_session(command, {"FARTHING_CACHE": "off"})


def check(load: Load, server: Server, folder: Path, plain: Server) -> None:
    assert load.calls
    assert failures(load) == []
    assert differences(load, plain) == []
    server.stop()
    assert misbooked(load, folder) == []


@needs_redis
def test_a_cache_that_freezes_dies_and_comes_back_costs_no_call(
    tmp_path: Path, plain: Server
) -> None:
    # Shorter than the cache is frozen for, but no less than a busy machine may take.
    wait = {"FARTHING_CACHE_WAIT_MS": "100"}
    with Redis(tmp_path) as redis, server_with(tmp_path, redis.url, **wait) as server:
        server.wait_until_ready()
        with Load(server.url) as load:
            wait_for(keys_of, redis, 1)
            redis.freeze()
            time.sleep(2)
            redis.thaw()
            time.sleep(1.5)
            redis.kill()
            time.sleep(1)
            # It comes back empty; that it fills again shows that it is asked again.
            redis.start()
            wait_for(keys_of, redis, 1)
        check(load, server, tmp_path, plain)


@needs_redis
def test_a_process_answers_what_another_kept_and_computes_what_was_spoilt(
    tmp_path: Path, plain: Server
) -> None:
    texts, kept = 400, 300

    def ask(folder: Path, redis: Redis, *, found: int) -> None:
        least, tried = found_in(redis) + found, missed_in(redis) + TRIALS
        # A busy machine is no fault here.
        with server_with(folder, redis.url, FARTHING_CACHE_WAIT_MS="2000") as server:
            server.wait_until_ready()
            # What is asked before the connection stands is kept by the process alone.
            wait_for(missed_in, redis, tried)
            with Load(server.url, variety=texts) as load:
                wait_for(keys_of, redis, kept)
                wait_for(found_in, redis, least)
            check(load, server, folder, plain)

    with Redis(tmp_path) as redis:
        ask(tmp_path / "first", redis, found=0)
        spoil(redis)
        # More than are whole: of those that are not, some were found too.
        ask(tmp_path / "second", redis, found=texts // 2 + 1)


def test_what_only_looks_like_a_cache_costs_no_call(tmp_path: Path, plain: Server) -> None:
    with Nonsense(wrong_values) as nonsense, server_with(tmp_path, nonsense.url) as server:
        server.wait_until_ready()
        with Load(server.url) as load:
            for reply in (wrong_values, garbage, silence):
                nonsense.reply = reply
                time.sleep(1.5)
        assert nonsense.connections
        check(load, server, tmp_path, plain)
