"""Redis, or Valkey, which speaks the same: alone, behind TLS, or a cluster.

    redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]    rediss://… by TLS, ?ca=FILE to trust
    redis+cluster://…                                   rediss+cluster://… by TLS

ElastiCache Serverless is a cluster behind TLS. Other parameters of the address are those of
redis-py's `from_url`, `ssl_certfile` say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Sequence

# A connection's own bounds; callers are held to a shorter one.
CONNECT_S_MAX = 1.0
ANSWER_S_MAX = 1.0
PREFIX = b"farthing:"
CLUSTER = "+cluster"


class RedisStore:
    """Keys of a cluster lie on its nodes; the commands for each node travel together."""

    def __init__(self, url: str) -> None:
        address, is_cluster = client_address(url)
        options: dict[str, Any] = {
            "socket_connect_timeout": CONNECT_S_MAX,
            "socket_timeout": ANSWER_S_MAX,
            "socket_keepalive": True,
            # Who waits cannot wait for another try.
            "retry": Retry(NoBackoff(), 0),
            # The newer protocol has nothing for us, and takes more trips to begin.
            "protocol": 2,
        }
        self._client: Any = (
            redis.RedisCluster.from_url(address, **options)
            if is_cluster
            else redis.Redis.from_url(address, **options)
        )
        self._is_cluster = is_cluster

    def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        names = [PREFIX + key for key in keys]
        found: list[bytes | None]
        if not self._is_cluster:
            found = self._client.mget(names)
            return found
        pipeline = self._client.pipeline()
        for name in names:
            pipeline.get(name)
        found = pipeline.execute()
        return found

    def put_many(self, pairs: Sequence[tuple[bytes, bytes]], ttl_s: int) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for key, value in pairs:
            pipeline.set(PREFIX + key, value, ex=ttl_s)
        pipeline.execute()

    def close(self) -> None:
        self._client.close()


def client_address(url: str) -> tuple[str, bool]:
    """The address as redis-py reads it, and whether it is a cluster's."""
    parts = urlsplit(url)
    query = [
        ("ssl_ca_certs" if name == "ca" else name, value) for name, value in parse_qsl(parts.query)
    ]
    scheme = parts.scheme.removesuffix(CLUSTER)
    address = urlunsplit((scheme, parts.netloc, parts.path, urlencode(query), ""))
    return address, parts.scheme.endswith(CLUSTER)
