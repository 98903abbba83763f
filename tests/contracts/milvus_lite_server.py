"""Milvus Lite's server where it stands for Milvus; as a program, `milvus-lite` itself.

Its client pings a connection that is idle every ten seconds. Milvus takes that; gRPC's own rules,
which Milvus Lite leaves as they are, hang up after some pings, at times in the face of a call.
"""

from __future__ import annotations

from typing import Any

import grpc

PINGS = ("grpc.http2.max_ping_strikes", 0)
_server = grpc.server


def server(*arguments: Any, options: Any = (), **others: Any) -> grpc.Server:
    """gRPC's server, which lets clients ping as often as they like."""
    return _server(*arguments, options=[*options, PINGS], **others)


if __name__ == "__main__":
    from milvus_lite.cmdline import main

    grpc.server = server
    main()
