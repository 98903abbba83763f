"""Where a service waits for others, stores say: on threads of its own, or where it stands."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from farthing.serving.service import Service

T = TypeVar("T")


async def beside(service: Service, work: Callable[[], T]) -> T:
    """The work's result: from a thread beside the event loop on a server, else done inline."""
    if service.workers is None:
        return work()
    return await asyncio.get_running_loop().run_in_executor(service.workers, work)
