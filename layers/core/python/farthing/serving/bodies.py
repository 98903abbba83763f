"""A request's body, read within bounds of size and time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from farthing.errors import BodyTooSlow
from farthing.serving.exchange import require_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive

# A client that sends nothing for so long, or is not done after so long, is not waited for.
GAP_S_MAX = 10
BODY_S_MAX = 30


class ClientGoneError(Exception):
    """The client left before its answer; there is nobody to send one to."""


async def read_body(headers: Mapping[str, str], receive: Receive, max_bytes: int) -> bytes:
    """The body, refused as soon as it is known to be larger: by its length, else on the way.

    Raises `BodyTooLarge`, `BodyTooSlow` and `ClientGoneError`.
    """
    stated = headers.get("content-length", "")
    if stated.isdecimal():
        require_size(int(stated), max_bytes)
    clock_s = asyncio.get_running_loop().time
    last_s = clock_s() + BODY_S_MAX
    body = bytearray()
    try:
        async with asyncio.timeout(GAP_S_MAX) as bound:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGoneError
                body += message.get("body", b"")
                require_size(len(body), max_bytes)
                if not message.get("more_body", False):
                    return bytes(body)
                bound.reschedule(min(clock_s() + GAP_S_MAX, last_s))
    except TimeoutError:
        raise BodyTooSlow(
            f"The body was not whole within {BODY_S_MAX} s, or nothing of it came for "
            f"{GAP_S_MAX} s. Send it again, faster or in smaller calls.",
            connection="close",
        ) from None
