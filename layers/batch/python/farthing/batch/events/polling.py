"""A worker of a queue, for platforms that call nobody: KEDA starts as many as there is work for.

A message is held for a minute, and for another one as long as it is worked on: so that of a worker
that dies another has it soon, whatever the queue's own time is.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from farthing.batch.errors import QueueUnavailable
from farthing.batch.events.calls import call_of
from farthing.batch.events.queue import Message
from farthing.batch.interruption import INTERRUPTIONS_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.batch.events.function import BatchFunction
    from farthing.batch.events.queue import Queue, Received
    from farthing.batch.interruption import Stop

HOLD_S: Final = 60
HEARTBEAT_S: Final = 20.0
# What takes longer is handed out among all workers, where they have a queue of their own.
MESSAGE_MS: Final = 900_000
# A signal is heard when the wait is over.
WAIT_S: Final = 10


class Poller:
    """Takes one message at a time, since each may be minutes of work and others are idle."""

    def __init__(
        self, function: BatchFunction, queue: Queue, stop: Stop, on_demand: Queue | None = None
    ) -> None:
        self._function, self._queue = function, queue
        self._stop, self._on_demand = stop, on_demand

    def run(self, empty_max_s: int | None = None) -> int:
        """Works until it is told to stop, or no message came for so many seconds; says how many
        messages were done.

        What is worked on when the stop comes goes back to the queue at once, with its checkpoints
        kept. Raises `QueueUnavailable`.
        """
        done = 0
        last_s = time.monotonic()
        while not self._stop.is_set():
            wait_s = WAIT_S if empty_max_s is None else min(WAIT_S, max(1, empty_max_s))
            found = self._queue.receive(1, wait_s=wait_s, hold_s=HOLD_S)
            for message in found:
                done += self._take(message)
            if found:
                last_s = time.monotonic()
            elif empty_max_s is not None and time.monotonic() - last_s >= empty_max_s:
                break
        return done

    def _take(self, message: Received) -> bool:
        """Whether the message is done, and gone from the queue."""
        if self._on_demand is not None and message.times > INTERRUPTIONS_MAX:
            # Taken from too many workers: on to machines that nobody takes away.
            self._on_demand.send([Message(message.body, {}, message.group, message.id)])
            self._queue.delete(message)
            return False
        with self._held(message):
            failed = self._do(message)
        if failed:
            self._queue.hold(message, 0 if self._stop.is_set() else HOLD_S)
            return False
        self._queue.delete(message)
        return True

    def _do(self, message: Received) -> bool:
        """Whether it failed. The message looks as Lambda would hand it over."""
        record: dict[str, Any] = {
            "messageId": message.id,
            "receiptHandle": message.handle,
            "body": message.body,
            "attributes": {"ApproximateReceiveCount": str(message.times)},
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": self._queue.url,
        }
        if message.group:
            record["attributes"]["MessageGroupId"] = message.group
        call = call_of(MESSAGE_MS, stop=self._stop)
        answer = self._function.messages({"Records": [record]}, call)
        return bool(answer["batchItemFailures"])

    @contextmanager
    def _held(self, message: Received) -> Iterator[None]:
        """Keeps the message from others for as long as this lasts."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(HEARTBEAT_S):
                try:
                    self._queue.hold(message, HOLD_S)
                except QueueUnavailable:
                    # Another may do it as well, which costs time and changes nothing.
                    continue

        thread = threading.Thread(target=beat, name="farthing-hold", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
