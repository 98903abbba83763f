"""A server under load while the cache beside it freezes, dies, comes back or talks nonsense.

What is answered is held against a server that has no cache, and against the ledger.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx

from tests.functions.books import entries_of
from tests.functions.server import LOOPBACK, REQUEST_S, STOP_S, Server, farthing, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path
    from typing import Self

REDIS = shutil.which("redis-server")
CALLERS = 3
TEXTS_MAX = 4
CHECKED_AT_ONCE = 128
WAIT_S_MAX = 120
MAKERS = ("bosch", "canon", "intel", "samsung", "sony", "hotpoint", "neff", "amd")
THINGS = ("fridge freezer", "dslr camera", "desktop processor", "tv 55 inch", "washing machine")


class Redis:
    """A real one on loopback that keeps nothing on disk; leaving the context ends it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.url = f"redis://{LOOPBACK}:{self.port}/0"
        self.start()

    def start(self) -> None:
        """Begins, empty, at the same address; returns once it listens."""
        self._process = subprocess.Popen(
            [
                *(str(REDIS), "--port", str(self.port), "--bind", LOOPBACK),
                *("--save", "", "--appendonly", "no", "--dir", str(self._folder)),
            ],
            stdout=subprocess.DEVNULL,
        )
        until = time.monotonic() + STOP_S
        while time.monotonic() < until:
            try:
                socket.create_connection((LOOPBACK, self.port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError("redis-server never listened")

    def freeze(self) -> None:
        """Keeps its connections, and takes new ones in the kernel, but answers nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class Nonsense:
    """Listens where a cache should; `reply` makes an answer of what came, or None for none."""

    def __init__(self, reply: Callable[[bytes], bytes | None]) -> None:
        self.reply = reply
        self._listener = socket.create_server((LOOPBACK, 0), backlog=64)
        self._listener.settimeout(0.1)
        self._over = threading.Event()
        self.connections = 0
        self.url = f"redis://{LOOPBACK}:{self._listener.getsockname()[1]}/0"
        self._threads = [threading.Thread(target=self._listen)]
        self._threads[0].start()

    def _listen(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            self.connections += 1
            talker = threading.Thread(target=self._talk, args=(connection,))
            self._threads.append(talker)
            talker.start()

    def _talk(self, connection: socket.socket) -> None:
        connection.settimeout(0.1)
        with connection:
            while not self._over.is_set():
                try:
                    asked = connection.recv(65_536)
                    if not asked:
                        return
                    if (said := self.reply(asked)) is not None:
                        connection.sendall(said)
                except TimeoutError:
                    continue
                except OSError:
                    return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()


def silence(_: bytes) -> None:
    """Nothing, ever."""


def garbage(asked: bytes) -> bytes:
    """Bytes that are no protocol's."""
    return random.Random(len(asked)).randbytes(64)


def wrong_values(asked: bytes) -> bytes:
    """Well-formed answers, one for each command, with values that nobody wrote."""
    return b"$7\r\nrubbish\r\n" * max(1, asked.count(b"*"))


class Call(NamedTuple):
    """`texts` and what came of asking about them; `began_s` is on the monotonic clock."""

    texts: Sequence[str]
    status: int
    answer: dict[str, Any]
    request_id: str
    began_s: float
    took_ms: float


class Load:
    """Callers that ask one server without a pause, from the context's beginning to its end.

    Each text is one of `variety`, so that some are known, to this process or to the cache beside
    it, and some are not.
    """

    def __init__(self, url: str, *, callers: int = CALLERS, variety: int = 3000) -> None:
        self._url = url
        self._variety = variety
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._call, args=(random.Random(seed),))
            for seed in range(callers)
        ]
        self.calls: list[Call] = []
        self.broken: list[str] = []

    def _call(self, chance: random.Random) -> None:
        with httpx.Client(base_url=self._url, timeout=REQUEST_S, trust_env=False) as client:
            while not self._over.is_set():
                numbers = [
                    chance.randrange(self._variety) for _ in range(chance.randint(1, TEXTS_MAX))
                ]
                texts = [text_of(number) for number in numbers]
                began_s = time.monotonic()
                try:
                    said = client.post("/v1/classify", json={"inputs": texts})
                except httpx.TransportError as error:
                    self.broken.append(type(error).__name__)
                    continue
                took_ms = (time.monotonic() - began_s) * 1e3
                request_id = said.headers["x-request-id"]
                self.calls.append(
                    Call(texts, said.status_code, said.json(), request_id, began_s, took_ms)
                )

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def text_of(number: int) -> str:
    """A title of a few words, another for each number."""
    maker, thing = MAKERS[number % len(MAKERS)], THINGS[number % len(THINGS)]
    return f"{maker} {thing} model {number} silver"


def server_with(folder: Path, cache: str, **environ: str) -> Server:
    """`farthing serve` on a free port, with that cache and a ledger in the folder."""
    port = free_port()
    command = farthing("serve", "--port", str(port), "--model", "product-classifier")
    own = {
        "FARTHING_CACHE": cache,
        "FARTHING_LEDGER": ledger_of(folder),
        "FARTHING_SPOOL": str(spool_of(folder)),
        # So little that most of what is known is known to the cache beside it alone.
        "FARTHING_CACHE_MAX_MB": "1",
        "XDG_STATE_HOME": str(folder),
    }
    folder.mkdir(parents=True, exist_ok=True)
    given = {name: value for name, value in os.environ.items() if name == "FARTHING_MODELS"}
    return Server(command, {**given, **own, **environ}, port, folder / "server.log")


def ledger_of(folder: Path) -> str:
    return f"sqlite:///{folder / 'ledger.db'}"


def spool_of(folder: Path) -> Path:
    return folder / "spool"


def keys_of(redis: Redis) -> int:
    """How many entries it has."""
    import redis as client

    with closing(client.Redis.from_url(redis.url)) as asked:
        return int(asked.dbsize())


def spoil(redis: Redis) -> None:
    """Overwrites every second value: by another's, a part or a changed copy of its own."""
    import redis as client

    with closing(client.Redis.from_url(redis.url)) as asked:
        names = sorted(asked.keys())
        values = asked.mget(names)
        for at in range(0, len(names), 2):
            other, own = values[at - 1], values[at]
            wrong = (other, own[:-1], own[:20] + bytes([own[20] ^ 1]) + own[21:], b"")
            asked.set(names[at], wrong[at // 2 % len(wrong)], keepttl=True)


def found_in(redis: Redis) -> int:
    """How often it had what it was asked for."""
    import redis as client

    with closing(client.Redis.from_url(redis.url)) as asked:
        return int(asked.info("stats")["keyspace_hits"])


def missed_in(redis: Redis) -> int:
    """How often it was asked for what it had not."""
    import redis as client

    with closing(client.Redis.from_url(redis.url)) as asked:
        return int(asked.info("stats")["keyspace_misses"])


def wait_for(count: Callable[[Redis], int], redis: Redis, least: int) -> None:
    """Returns once it has counted so many. Raises `AssertionError` where that takes too long."""
    until = time.monotonic() + WAIT_S_MAX
    while (found := count(redis)) < least:
        assert time.monotonic() < until, f"the server asks its cache too little: {found}"
        time.sleep(0.05)


def failures(load: Load) -> list[str]:
    """Whatever was no answer: statuses, and how connections ended."""
    return [*load.broken, *(str(call.status) for call in load.calls if call.status != 200)]


def differences(load: Load, plain: Server) -> list[str]:
    """The texts that were answered otherwise than by a server without a cache."""
    told: dict[str, list[Any]] = {}
    for call in load.calls:
        for text, result in zip(call.texts, call.answer["results"], strict=True):
            told.setdefault(text, []).append(result)
    texts = sorted(told)
    wrong = []
    for at in range(0, len(texts), CHECKED_AT_ONCE):
        some = texts[at : at + CHECKED_AT_ONCE]
        expected = plain.client.post("/v1/classify", json={"inputs": some}).json()["results"]
        wrong += [
            text
            for text, right in zip(some, expected, strict=True)
            if any(result != right for result in told[text])
        ]
    return wrong


def misbooked(load: Load, folder: Path) -> list[str]:
    """Calls without exactly one entry, and those whose entry is another than the answer told.

    The server must have stopped, so that all entries are where they belong.
    """
    answers = [
        one for one in entries_of(ledger_of(folder), spool_of(folder)) if one.kind == "answer"
    ]
    entries = {one.request_id: one for one in answers}
    count = Counter(one.request_id for one in answers)
    wrong = [call.request_id for call in load.calls if count[call.request_id] != 1]
    for call in load.calls:
        said, entry = call.answer["usage"], entries.get(call.request_id)
        kept = entry and (entry.usage.prompt_tokens, entry.usage.cached_tokens, entry.usage.cache)
        if kept != (said["prompt_tokens"], said["cached_tokens"], said["cache"]):
            wrong.append(call.request_id)
    if sum(count.values()) != len(load.calls):
        wrong.append(f"{sum(count.values())} entries of {len(load.calls)} calls")
    return wrong


def p99_ms(calls: Iterable[Call]) -> float:
    """The time that 99 of 100 calls did not exceed; NaN for none."""
    took = sorted(call.took_ms for call in calls)
    return took[min(len(took) - 1, len(took) * 99 // 100)] if took else float("nan")
