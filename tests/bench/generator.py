"""Requests at a constant rate, whatever becomes of them, from a process of its own.

    python -m tests.bench.generator --port 8080 --rate 5000 --seconds 60 --bodies FILE

Each is sent when it is due, over any connection that is free, as many as that takes; so a slow
server does not slow its callers down. It prints a JSON object a second: what was sent and what came
of it by the second of its sending, and how long answers took.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import resource
import sys
import time
from collections import Counter
from pathlib import Path

import uvloop

TICK_S = 0.004
CONNECTIONS_MAX = 8000
CONNECTIONS_FIRST = 3000
# What is not answered so long after the last was sent is given up.
LAST_S = 20
LENGTH = re.compile(rb"content-length: (\d+)", re.I)


class Second:
    """What was sent within it."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.taken_ms: list[float] = []

    def as_json(self, number: int) -> dict[str, object]:
        ordered = sorted(self.taken_ms)
        percentiles = {
            f"p{share}_ms": round(ordered[len(ordered) * share // 100], 3)
            for share in (50, 99)
            if ordered
        }
        return {"second": number, **self.counts, **percentiles}


class Connection(asyncio.Protocol):
    """One request at a time; free again once it is answered."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._second: Second | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def ask(self, request: bytes, second: Second) -> None:
        self._second, self._sent_ns = second, time.perf_counter_ns()
        second.counts["sent"] += 1
        self._transport.write(request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        length = LENGTH.search(head)
        if length is None or len(body) < int(length[1]):
            return
        second, self._received = self._second, b""
        if second is None:
            return
        self._second = None
        status = int(head[9:12])
        if status == 200:
            second.counts["answered"] += 1
            second.taken_ms.append((time.perf_counter_ns() - self._sent_ns) / 1e6)
        elif status in {429, 503}:
            second.counts["refused"] += 1
            second.counts["without_retry_after"] += b"retry-after: " not in head
        else:
            second.counts["other"] += 1
        if b"connection: close" in head:
            self._transport.close()
        else:
            self._generator.free.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._generator.lost(self)
        if self._second is not None:
            self._second.counts["broken"] += 1
            self._second = None


class Generator:
    def __init__(self, port: int, requests: list[bytes]) -> None:
        self._port = port
        self._requests = requests
        self.free: list[Connection] = []
        self._open = 0
        self._opening: set[asyncio.Task[None]] = set()

    async def run(self, rate: float, seconds: int) -> None:
        """Prints each second, once all that was sent in it should be answered, or at the end."""
        every = [Second() for _ in range(seconds)]
        # Opened before, one after another: a storm of handshakes is another measurement.
        for _ in range(min(CONNECTIONS_FIRST, int(rate))):
            await self._open_one()
        started_s = time.perf_counter()
        sent = 0
        while (elapsed_s := time.perf_counter() - started_s) < seconds:
            due = int(elapsed_s * rate)
            while sent < due:
                self._send(every[min(seconds - 1, int(sent / rate))])
                sent += 1
            await asyncio.sleep(TICK_S)
        until_s = time.perf_counter() + LAST_S
        while any(map(_is_open, every)) and time.perf_counter() < until_s:  # noqa: ASYNC110
            await asyncio.sleep(TICK_S)
        for number, second in enumerate(every):
            sys.stdout.write(json.dumps(second.as_json(number)) + "\n")

    def lost(self, connection: Connection) -> None:
        self._open -= 1
        if connection in self.free:
            self.free.remove(connection)

    def _send(self, second: Second) -> None:
        request = random.choice(self._requests)
        if self.free:
            self.free.pop().ask(request, second)
        elif self._open < CONNECTIONS_MAX:
            self._open += 1
            task = asyncio.ensure_future(self._send_anew(request, second))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        else:
            second.counts["unsent"] += 1

    async def _open_one(self) -> None:
        self._open += 1
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: Connection(self), "127.0.0.1", self._port
        )
        self.free.append(connection)

    async def _send_anew(self, request: bytes, second: Second) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(self), "127.0.0.1", self._port
            )
        except OSError:
            self._open -= 1
            second.counts["unconnected"] += 1
        else:
            connection.ask(request, second)


def _is_open(second: Second) -> bool:
    counts = second.counts
    ended = ("answered", "refused", "other", "broken")
    return counts["sent"] > sum(counts[name] for name in ended)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--bodies", type=Path, required=True)
    parser.add_argument("--path", default="/v1/embeddings")
    arguments = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    requests = [
        f"POST {arguments.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
        for body in arguments.bodies.read_bytes().splitlines()
    ]
    uvloop.run(Generator(arguments.port, requests).run(arguments.rate, arguments.seconds))


if __name__ == "__main__":
    main()
