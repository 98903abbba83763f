"""Where a service computes: on its worker threads, or where it stands."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from farthing.serving.exchange import Reply
    from farthing.serving.service import Service


async def compute(service: Service, work: Callable[[], Reply]) -> Reply:
    """The work's result: from a worker thread on a server, inline where calls come singly."""
    if service.workers is None:
        return work()
    return await asyncio.get_running_loop().run_in_executor(service.workers, work)
