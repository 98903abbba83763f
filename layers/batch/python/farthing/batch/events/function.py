"""The batch function on every host: a handler, an application of a server, and a program.

Every call may be repeated, cut short, or go on beside another: a row is scored once and billed
once, since both hang on the job that the file makes, and not on the event.

| host | who tries again what failed | what ends up where |
| --- | --- | --- |
| Lambda, by SQS | the queue, message by message | the dead-letter queue, with the reason |
| Lambda, called directly | Lambda, twice; a state machine, as it is told | the same, or its own |
| Function Compute | the platform, the whole batch of events | its own dead letters |
| Knative | the broker, or the Job, event by event | the dead letter sink: 422 and the reason |
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.batch.events.calls import Call, call_of, call_within
from farthing.batch.events.envelopes import work_in
from farthing.batch.events.poison import DeadLetters, is_permanent, said_of
from farthing.errors import FarthingError
from farthing.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from farthing.batch.events.worker import Worker
    from farthing.settings import Settings

SUCCEEDED, FAILED = b"200", b"404"
LIFECYCLE_PATHS = ("/initialize", "/pre-stop")
STRUCTURED = "application/cloudevents"
SQS = "aws:sqs"

log = logging.getLogger("farthing")


class BatchFunction:
    """Nothing is read or loaded before the first event."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ
        self._ends = ExitStack()
        # An instance computes for one event at a time; platforms send no more.
        self._turn = threading.Lock()

    @cached_property
    def settings(self) -> Settings:
        return read_settings(self._environ)

    @cached_property
    def worker(self) -> Worker:
        from farthing.batch.events.worker import Worker

        worker = Worker(self.settings)
        self._ends.callback(worker.close)
        return worker

    @cached_property
    def dead_letters(self) -> DeadLetters:
        return DeadLetters(self.settings)

    def handler(self, event: Any, context: Any) -> dict[str, Any]:
        """What Lambda calls: an SQS batch gets the messages that are to come again, all else what
        was done. Raises `FarthingError` where another try may help; Lambda then tries again."""
        call = call_within(context.aws_request_id, context.get_remaining_time_in_millis)
        if _is_from_queue(event):
            return self.messages(event, call)
        try:
            return self.run(event, call)
        except FarthingError as error:
            # A state machine is told itself: it knows which of its items failed, and why.
            has_caller = isinstance(event, dict) and ("Items" in event or "shards" in event)
            if has_caller or not is_permanent(error):
                raise
            body = msgspec.json.encode(event).decode()
            if not self.dead_letters.keep(body, error, self.settings.function):
                raise
            return {"refused": str(error)}

    def messages(self, event: dict[str, Any], call: Call) -> dict[str, Any]:
        """Does a batch of SQS messages, each by itself."""
        from farthing.batch.events.records import Records

        call = call._replace(has_queue=bool(self.settings.batch_queue))

        def do(body: str) -> None:
            self.run(body, call)

        return Records(self.settings, self.dead_letters, do).answer(event)

    def run(self, event: Any, call: Call) -> dict[str, Any]:
        """Does all that the event asks for, and writes a line of what was done.

        What fails keeps nothing else waiting; at the end the first error is raised, one that asks
        for another try before others.
        """
        done: list[dict[str, Any]] = []
        errors: list[Exception] = []
        for work in work_in(event):
            try:
                with self._turn:
                    done += self.worker.do(work, call)
            except Exception as error:
                errors.append(error)
        if done:
            sys.stdout.write(msgspec.json.encode({"batch": done}).decode() + "\n")
        if not errors:
            return {"jobs": done}
        first = next((one for one in errors if not is_permanent(one)), errors[0])
        for other in errors:
            if other is not first:
                log.error("%s", said_of(other))
        raise first

    def close(self) -> None:
        """Hands over what is not yet in the ledger, when an instance ends."""
        self._ends.close()

    def main(self) -> int:
        """The exit status of a program; see `farthing.batch.events.program`."""
        from farthing.batch.events.program import main

        return main(self)

    async def __call__(
        self,
        scope: Any,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        """Any POST is an event, whatever its path; any other request is told that we are here."""
        import asyncio

        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self.close()
            await send({"type": "lifespan.shutdown.complete"})
            return
        status, body = 200, b'{"status":"ready"}'
        if scope["method"] == "POST" and scope["path"] not in LIFECYCLE_PATHS:
            content = await _read(receive, self.settings.payload_max_bytes)
            status, body = await asyncio.to_thread(self._respond, dict(scope["headers"]), content)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            # Function Compute reads an event's failure from its own header.
            (b"x-fc-status", SUCCEEDED if status == 200 else FAILED),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _respond(self, headers: dict[bytes, bytes], content: bytes | None) -> tuple[int, bytes]:
        """422 is not tried again by a broker, which keeps its body beside the event; 503 is."""
        request_id = headers.get(b"x-fc-request-id", b"").decode("latin-1")
        try:
            event = _event_of(headers, content)
            done = self.run(event, call_of(self.settings.timeout_ms, request_id))
        except Exception as error:
            log.error("%s", said_of(error))
            if is_permanent(error):
                return 422, msgspec.json.encode({"status": "refused", "reason": said_of(error)})
            return 503, b'{"status":"failed"}'
        return 200, msgspec.json.encode(done)


def _is_from_queue(event: Any) -> bool:
    records = event.get("Records") if isinstance(event, dict) else None
    return (
        isinstance(records, list)
        and bool(records)
        and isinstance(records[0], dict)
        and records[0].get("eventSource") == SQS
    )


def _event_of(headers: dict[bytes, bytes], content: bytes | None) -> Any:
    """The event that a request carries; a CloudEvent in binary mode is put together again."""
    text = "" if content is None else content.decode("utf-8", "replace")
    is_whole = headers.get(b"content-type", b"").decode("latin-1").startswith(STRUCTURED)
    if is_whole or b"ce-specversion" not in headers:
        return text
    attributes = {
        name.decode("latin-1").removeprefix("ce-"): value.decode("latin-1")
        for name, value in headers.items()
        if name.startswith(b"ce-")
    }
    return {**attributes, "data": text}


async def _read(receive: Callable[[], Awaitable[Any]], most_bytes: int) -> bytes | None:
    """The request's body; None for one that no event can have."""
    content = b""
    while True:
        message: dict[str, Any] = await receive()
        content += message.get("body") or b""
        if len(content) > most_bytes or message["type"] == "http.disconnect":
            return None
        if not message.get("more_body", False):
            return content
