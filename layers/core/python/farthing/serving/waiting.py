"""A call that others compute, and the caller who waits for it on an event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from farthing.errors import CallerGone
from farthing.serving.bodies import ClientGoneError
from farthing.serving.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive

    from farthing.serving.calls import Call
    from farthing.serving.exchange import Reply
    from farthing.serving.pipeline import Pipeline
    from farthing.serving.ports import Ticket

# Most answers are sooner, and need not know whether anybody still listens.
WATCH_AFTER_S = 0.05


class Waiting:
    """From a call's submission to its reply, or to its caller's leaving."""

    def __init__(self, pipeline: Pipeline, call: Call, told: Callable[[Outcome], Reply]) -> None:
        self._pipeline = pipeline
        self._call = call
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._reply: asyncio.Future[Reply] = self._loop.create_future()
        self._watch: asyncio.Task[None] | None = None

    async def reply(self, receive: Receive) -> Reply:
        """The outcome as it is told. Raises `ClientGoneError` where the caller left before."""
        ticket = self._pipeline.submit(self._call, self._tell)
        if isinstance(ticket, Outcome):
            return self._told(ticket)
        timer = self._loop.call_later(WATCH_AFTER_S, self._start_watching, receive)
        try:
            return await self._reply
        except (ClientGoneError, asyncio.CancelledError):
            self._leave(ticket)
            raise
        finally:
            timer.cancel()
            if self._watch is not None:
                self._watch.cancel()

    def _tell(self, outcome: Outcome) -> None:
        """Called on a thread that computes, which encodes the reply as well."""
        try:
            reply, error = self._told(outcome), None
        except Exception as failure:
            reply, error = None, failure
        try:
            self._loop.call_soon_threadsafe(self._settle, reply, error)
        except RuntimeError:
            # The server has ended; it did not wait any longer.
            return

    def _settle(self, reply: Reply | None, error: Exception | None) -> None:
        if self._reply.done():
            return
        if reply is None:
            self._reply.set_exception(error or RuntimeError("A call was told nothing."))
        else:
            self._reply.set_result(reply)

    def _start_watching(self, receive: Receive) -> None:
        self._watch = self._loop.create_task(self._await_leaving(receive))

    async def _await_leaving(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        if not self._reply.done():
            self._reply.set_exception(ClientGoneError())

    def _leave(self, ticket: Ticket) -> None:
        """Books a call that is not computed any more to the house; a late one ends as ever."""
        if ticket.cancel():
            gone = CallerGone("The caller left before its answer was begun; nothing is charged.")
            self._pipeline.fail(self._call, gone)
