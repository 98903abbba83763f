"""A server's connections: bounded in number and patience, and quick to turn callers away.

For Uvicorn, `--http farthing.serving.connections:Connection`.
"""

from __future__ import annotations

import asyncio
import resource
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from farthing.deadlines import RETRY_AFTER_S
from farthing.errors import Overloaded
from farthing.serving.gate import SHUTTER

if TYPE_CHECKING:
    from farthing.errors import Refusal
    from farthing.serving.exchange import Reply
    from farthing.serving.gate import Shutter

# From the first byte of a request, or the connection's opening, to the end of the headers.
HEAD_S_MAX = 10
SURPLUS_HEAD_S_MAX = 1
# What follows an answer that came before its request was whole is read and thrown away, so that
# the client finds the answer and not a reset; but not without end. A request that says that it is
# longer is told that its connection ends.
DISCARDED_BYTES_MAX = 16 * 1024 * 1024
LINGER_S = 2
# An idle connection may carry a request that was sent before its client could know of the end.
LAST_REQUEST_S = 1
LOOK_AGAIN_S = 0.05
TOO_SLOW = b"connection: close\r\ncontent-length: 0\r\n\r\n"


def connections_max() -> int:
    """Half of the files that the process may open: models, stores and logs need some."""
    return max(1, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


class _Answered:
    """Stands where the request is that a connection answers, and says that it is over."""

    response_complete = True
    disconnected = False
    keep_alive = True
    message_event = asyncio.Event()


ANSWERED = cast("RequestResponseCycle", _Answered())


class Connection(HttpToolsProtocol):
    """Uvicorn's connection, which by itself waits for headers for ever, takes any number beside
    it, and asks the application about every refusal.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._shutter: Shutter | None = self.app_state.get(SHUTTER)
        self._connections_max = connections_max()
        self._head_timer: asyncio.TimerHandle | None = None
        self._is_in_head = False
        self._is_surplus = False
        self._is_stopping = False
        self._is_closing = False
        self._discarded_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        surplus = len(self.connections) - self._connections_max
        if surplus > self._connections_max // 2:
            transport.abort()
        self._is_surplus = surplus > 0
        self._await_head(SURPLUS_HEAD_S_MAX if self._is_surplus else HEAD_S_MAX)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        is_busy = self.cycle is not None and not self.cycle.response_complete
        if is_busy or self.timeout_keep_alive_task is not None:
            self._forget_head()
        elif self._head_timer is None:
            self._await_head(HEAD_S_MAX)

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        if self._is_closing:
            return
        is_free = self.cycle is None or self.cycle.response_complete
        if is_free and self._shutter is not None:
            because = self._because()
            if because is not None or self._shutter.is_pressed:
                path = self.url.partition(b"?")[0]
                if self._shutter.guards(self.parser.get_method(), path):
                    reply = self._shutter.turn_away(self.scope, because)
                    if reply is not None:
                        self._turn_away(reply, closes=because is not None)
                        return
        super().on_headers_complete()
        # A client that asks whether to send its body may or may not, once it is told no.
        ends = self._is_surplus or self._is_stopping or self.expect_100_continue
        if (ends or self._is_long()) and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        if self.cycle.response_complete:
            self._discarded_bytes += len(body)
            if self._discarded_bytes > DISCARDED_BYTES_MAX:
                self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head = True
        self._discarded_bytes = 0

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if self._is_closing:
            self.transport.close()
        elif self.cycle.response_complete and self.timeout_keep_alive_task is None:
            # It was answered before it was whole; only now the connection is idle.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def shutdown(self) -> None:
        """Ends after the request under way, or, where there is none, after one on its way."""
        self._is_stopping = True
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(LAST_REQUEST_S, super().shutdown)
        else:
            super().shutdown()

    def _because(self) -> Refusal | None:
        if self._is_stopping:
            return Overloaded(
                "The server is stopping, so no call is begun. Send it again; another will answer.",
                retry_after=RETRY_AFTER_S,
            )
        if self._is_surplus:
            return Overloaded(
                f"More than {self._connections_max} connections are open. Send it again later, "
                "over fewer connections.",
                retry_after=RETRY_AFTER_S,
            )
        return None

    def _is_long(self) -> bool:
        """Whether the request says that it has more than is read after an early answer."""
        stated = next((value for name, value in self.headers if name == b"content-length"), b"")
        return stated.isdigit() and int(stated) > DISCARDED_BYTES_MAX

    def _turn_away(self, reply: Reply, *, closes: bool) -> None:
        """Answers at once; the request's body is thrown away as it comes."""
        closes = closes or self.expect_100_continue or not self.parser.should_keep_alive()
        closes = closes or self._is_long()
        named = [*self.server_state.default_headers]
        named += [(name.encode(), value.encode()) for name, value in reply.headers.items()]
        named.append((b"content-length", str(len(reply.body)).encode()))
        if closes:
            named.append((b"connection", b"close"))
        head = b"".join(b"%b: %b\r\n" % header for header in named)
        self.transport.write(b"%b%b\r\n%b" % (STATUS_LINE[reply.status], head, reply.body))
        self.cycle = ANSWERED
        if closes:
            self._is_closing = True
            self.loop.call_later(LINGER_S, self.transport.close)
        else:
            self.on_response_complete()

    def _await_head(self, seconds: float) -> None:
        self._head_timer = self.loop.call_later(seconds, self._look_again)

    def _look_again(self) -> None:
        # Timers come before sockets: what is there is read first, should the loop be late itself.
        self._head_timer = self.loop.call_later(LOOK_AGAIN_S, self._end_waiting)

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _end_waiting(self) -> None:
        if not self.transport.is_closing():
            if self._is_in_head:
                self.transport.write(STATUS_LINE[408] + TOO_SLOW)
            self.transport.close()
