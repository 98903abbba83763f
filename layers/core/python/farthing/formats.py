"""Files that say which format they have, read by a version that may be older than they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

Kind = TypeVar("Kind")


class _Versioned(msgspec.Struct):
    format: int


def decode_versioned(
    raw: bytes, kind: type[Kind], newest: int, too_new: Callable[[int], Exception]
) -> Kind:
    """What the JSON tells, once its member `format` is known to be no later than `newest`.

    Raises what `too_new` makes of a later one, and msgspec's errors or `UnicodeDecodeError` for
    what is no such JSON.
    """
    found = msgspec.json.decode(raw, type=_Versioned).format
    if found > newest:
        raise too_new(found)
    return msgspec.json.decode(raw, type=kind)
