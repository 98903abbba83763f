"""What a cache's address opens."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from farthing.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from farthing.serving.cache.ports import Store

REDIS_SCHEMES = ("redis", "rediss", "redis+cluster", "rediss+cluster")


def store_at(url: str) -> Callable[[], Store]:
    """What opens the remote store at an address: see `redis` and `dynamodb` beside this.

    Raises `SettingsError` for what is no such address, which is not repeated: it may hold a
    password.
    """
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        parts, has_host = urlsplit(""), False
    if parts.scheme == "dynamodb":
        from farthing.serving.cache.dynamodb import open_store

        store = open_store(url)
        return lambda: store
    if parts.scheme not in REDIS_SCHEMES or not has_host:
        raise SettingsError(
            "FARTHING_CACHE is no cache's address. Use off, memory, redis://HOST:PORT, "
            "rediss://HOST:PORT, redis+cluster:// or rediss+cluster://HOST:PORT, or "
            "dynamodb:TABLE?region=REGION."
        )
    return lambda: _open_redis(url)


def _open_redis(url: str) -> Store:
    # Importing it takes a tenth of a second, which a start does not owe.
    from farthing.serving.cache.redis import RedisStore

    return RedisStore(url)
