"""Pings, as the files of every platform write them for its clock to send."""

from __future__ import annotations

import json

from farthing.errors import InvalidRequest
from farthing.serving.pings import find_ping

PING = '{"farthing": "ping"}'


def is_ping(text: object) -> bool:
    """Whether what a clock sends is answered without inference, at the house's cost."""
    try:
        return find_ping(json.loads(str(text))) is not None
    except (ValueError, InvalidRequest):
        return False
