"""What runs now and then: writes that wait become a new version of their index, which stays tidy.

Every run may be repeated, cut short, or go on beside another: a write counts once.
"""

from __future__ import annotations

import json
import os
import sys
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.errors import FarthingError, StartupError
from farthing.search.addresses import index_addresses
from farthing.search.embedders import Embedders
from farthing.search.errors import IndexMissing
from farthing.search.local_copy import copy_name
from farthing.search.publishing import garbage_collect, read_manifest
from farthing.search.writes import drain
from farthing.settings import read_settings
from farthing.storage import open_storage
from farthing.usage import NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from farthing.settings import Settings

# Kept for what must not be begun too late: another version.
RESERVE_MS = 60_000
SUCCEEDED, FAILED = "200", "404"
LIFECYCLE_PATHS = ("/initialize", "/pre-stop")


class Tended(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did to one index: `waiting` writes are left for the next, `removed` files were
    needed by no version any more."""

    index: str
    version: int
    applied: int
    refused: int
    waiting: int
    removed: int


class Indexer:
    """The handler of Lambda, the ASGI application of a server, and a program that runs once.

    Nothing is read or loaded before it runs.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ

    @cached_property
    def settings(self) -> Settings:
        return read_settings(self._environ)

    @cached_property
    def embedders(self) -> Embedders:
        return Embedders(self.settings)

    def handler(self, _event: Any, context: Any) -> dict[str, Any]:
        """What Lambda calls, with any event. Raises `FarthingError`; Lambda then tries again."""
        return self.run(context.get_remaining_time_in_millis)

    def main(self) -> int:
        """The exit status of a program that runs once: 1 with a sentence on stderr."""
        try:
            self.run(_clock(self.settings.timeout_ms))
        except FarthingError as error:
            sys.stderr.write(f"farthing: {error}\n")
            return 1
        return 0

    async def __call__(
        self,
        scope: Any,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        """Any POST runs, whatever its body: an event says that, and not what.

        But for Function Compute's own: an instance that starts or ends has nothing to do here.
        """
        import asyncio

        from farthing.serving.exchange import JSON, Reply
        from farthing.serving.http import send_reply

        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        status, body = 200, {"status": "ready"}
        if scope["method"] == "POST" and scope["path"] not in LIFECYCLE_PATHS:
            try:
                body = await asyncio.to_thread(self.run, _clock(self.settings.timeout_ms))
            except FarthingError as error:
                # Function Compute reads an event's failure from its own header.
                sys.stderr.write(f"farthing: {error}\n")
                status, body = 503, {"status": "failed"}
        headers = {"Content-Type": JSON, "X-Fc-Status": SUCCEEDED if status == 200 else FAILED}
        await send_reply(Reply(status, headers, msgspec.json.encode(body)), send)

    def run(self, remaining_ms: Callable[[], int]) -> dict[str, Any]:
        """Tends every index of the settings, and writes one line of figures.

        An index that fails keeps no other waiting; the first error is raised at the end.
        """
        addresses = index_addresses(self.settings)
        if not addresses:
            raise IndexMissing(
                "There is nothing to index: FARTHING_INDEX names no index. Set it to the address "
                "that searches are served from."
            )
        tended: list[Tended] = []
        errors: list[StartupError] = []
        for address in addresses:
            try:
                tended.append(self._tend(address, remaining_ms))
            except StartupError as error:
                errors.append(error)
        summary = {"indexes": [msgspec.structs.asdict(one) for one in tended]}
        sys.stdout.write(json.dumps({"indexer": summary, "failed": len(errors)}) + "\n")
        if errors:
            raise errors[0]
        return summary

    def _tend(self, address: str, remaining_ms: Callable[[], int]) -> Tended:
        storage = open_storage(address)
        work = self.settings.index_cache / f"work-{copy_name(storage.url)}"
        manifest = read_manifest(storage)
        embedder = self.embedders.of(manifest)
        applied = refused = 0
        while True:
            drained = drain(storage, work, embedder)
            applied += drained.applied
            refused += len(drained.refused)
            if not drained.waiting or remaining_ms() < RESERVE_MS:
                break
        return Tended(
            index=manifest.name,
            version=drained.version,
            applied=applied,
            refused=refused,
            waiting=drained.waiting,
            removed=len(garbage_collect(storage)),
        )


def _clock(timeout_ms: int) -> Callable[[], int]:
    """How many of so many milliseconds are left, from now on."""
    ends_ns = time.monotonic_ns() + timeout_ms * NS_PER_MS
    return lambda: (ends_ns - time.monotonic_ns()) // NS_PER_MS
