"""A store on another machine, which nobody waits for longer than was said."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from farthing.serving.cache.circuit import Circuit
from farthing.serving.cache.key import KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from farthing.serving.cache.ports import Stats, Store

# Questions on their way at once: each is a thread that mostly waits for the network.
READERS_MAX = 4
# A call of thousands of texts may take as many times longer as it has hundreds.
KEYS_PER_WAIT = 100
# Written by then or never: what waits is held in memory.
WAITING_BYTES_MAX = 4 * 1024 * 1024
# The call whose answer is to be written goes out first, and others may join it in one message.
GATHER_S = 0.002
TRIAL_KEY = bytes(KEY_BYTES)


class RemoteStore:
    """Asks a store on threads of its own, so that `wait_s` bounds all that asking is made of:
    looking up names, connecting, shaking hands, and answers that come byte by byte.

    Connections are made and trials held beside the calls; until then, and while the circuit is
    open, every question is a miss at once. With `writes_behind` values are written by a thread
    when it comes to it; without, the caller waits for that too, as it must where the machine may
    be frozen as soon as it has answered.
    """

    def __init__(
        self, open_store: Callable[[], Store], wait_s: float, stats: Stats, *, writes_behind: bool
    ) -> None:
        self._open_store = open_store
        self._wait_s = wait_s
        self._stats = stats
        self._writes_behind = writes_behind
        self._circuit = Circuit()
        self._store: Store | None = None
        self._asking = ThreadPoolExecutor(READERS_MAX, "farthing-cache")
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Sequence[tuple[bytes, bytes]], int]] = deque()
        self._waiting_bytes = 0
        self._is_closed = False
        threading.Thread(target=self._keep, name="farthing-cache-keeper", daemon=True).start()

    @property
    def is_asked(self) -> bool:
        """Whether a question would be put to the store now."""
        return not self._circuit.is_open

    def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """As `Store`; all None where the store does not answer in time."""
        store = self._store
        if store is None or self._circuit.is_open:
            self._stats.add(skipped=1)
            return [None] * len(keys)
        found = self._within(len(keys), _asked, store, keys)
        return [None] * len(keys) if found is None else found

    def put_many(self, pairs: Sequence[tuple[bytes, bytes]], ttl_s: int) -> None:
        """As `Store`; raises nothing, and keeps nothing where the store is too slow."""
        store = self._store
        if store is None or self._circuit.is_open:
            self._stats.add(dropped=len(pairs))
        elif self._writes_behind:
            self._write_later(pairs, ttl_s)
        else:
            self._within(len(pairs), store.put_many, pairs, ttl_s)

    def flush(self, timeout_s: float) -> bool:
        """Whether all that waits to be written was written or dropped within that time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting_bytes, timeout_s)

    def close(self) -> None:
        """Ends the threads; what waits to be written is lost."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._asking.shutdown(wait=False, cancel_futures=True)

    def _within(self, keys: int, ask: Callable[..., Any], *arguments: Any) -> Any:
        """What was asked for, or None where it does not come in time."""
        asked: Future[Any] | None = None
        try:
            asked = self._asking.submit(ask, *arguments)
            found = asked.result(self._wait_s * -(-keys // KEYS_PER_WAIT))
        # Whatever a client raises is only the loss of a shortcut.
        except Exception as error:
            if asked is not None:
                asked.cancel()
            self._failed(error)
            return None
        self._circuit.succeed()
        return found

    def _failed(self, error: Exception) -> None:
        self._stats.add(unanswered=1)
        if self._circuit.fail(type(error).__name__):
            with self._changed:
                self._changed.notify_all()

    def _write_later(self, pairs: Sequence[tuple[bytes, bytes]], ttl_s: int) -> None:
        size = _bytes_of(pairs)
        with self._changed:
            if self._waiting_bytes + size <= WAITING_BYTES_MAX:
                self._waiting.append((pairs, ttl_s))
                self._waiting_bytes += size
                self._changed.notify_all()
                return
        self._stats.add(dropped=len(pairs))

    def _keep(self) -> None:
        """The life of the thread that connects, tries and writes."""
        while not self._is_closed:
            if self._circuit.is_open:
                with self._changed:
                    self._changed.wait_for(lambda: self._is_closed, self._circuit.pause_s())
                if not self._is_closed:
                    self._circuit.tried(self._try())
                continue
            with self._changed:
                self._changed.wait_for(
                    lambda: self._is_closed or self._waiting or self._circuit.is_open
                )
            if not self._is_closed:
                time.sleep(GATHER_S)
            with self._changed:
                batch = list(self._waiting)
                self._waiting.clear()
            self._write(batch)
        if self._store is not None:
            self._store.close()

    def _try(self) -> str:
        """Why the store cannot be asked; "" where it can.

        It has its own time to connect, and then must answer as fast as callers would wait.
        """
        try:
            if self._store is None:
                self._store = self._open_store()
            _asked(self._store, [TRIAL_KEY])
            started_s = time.monotonic()
            _asked(self._store, [TRIAL_KEY])
        except Exception as error:
            return type(error).__name__
        return "" if time.monotonic() - started_s <= self._wait_s else "it is too slow"

    def _write(self, batch: list[tuple[Sequence[tuple[bytes, bytes]], int]]) -> None:
        by_ttl: dict[int, list[tuple[bytes, bytes]]] = {}
        for pairs, ttl_s in batch:
            by_ttl.setdefault(ttl_s, []).extend(pairs)
        for ttl_s, joined in by_ttl.items():
            try:
                if self._store is not None and not self._circuit.is_open:
                    self._store.put_many(joined, ttl_s)
                else:
                    self._stats.add(dropped=len(joined))
            except Exception as error:
                self._stats.add(dropped=len(joined))
                self._failed(error)
        with self._changed:
            self._waiting_bytes -= sum(_bytes_of(pairs) for pairs, _ in batch)
            self._changed.notify_all()


def _asked(store: Store, keys: Sequence[bytes]) -> Sequence[bytes | None]:
    """As `Store.get_many`. Raises `ValueError` for what no store of ours would answer."""
    found: Any = store.get_many(keys)
    if (
        not isinstance(found, list)
        or len(found) != len(keys)
        or not all(value is None or isinstance(value, bytes) for value in found)
    ):
        raise ValueError
    return found


def _bytes_of(pairs: Sequence[tuple[bytes, bytes]]) -> int:
    return sum(len(key) + len(value) for key, value in pairs)
