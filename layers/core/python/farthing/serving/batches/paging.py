"""One page of a list, in the way of OpenAI's cursors: the objects `after` one that is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from farthing.errors import InvalidRequest
from farthing.serving.batches.errors import UnknownObject

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# OpenAI lets files be listed by 10,000 at once; ours come in pages that do not keep one waiting.
LIMIT_MAX = 10_000
PAGE_MAX = 100


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a list; `purpose` "" is any."""

    limit: int = 20
    after: str = ""
    order: Literal["asc", "desc"] = "desc"
    purpose: str = ""


def read_page(query: Mapping[str, str], known: Sequence[str]) -> Page:
    """The page that a query asks for, by these of its parameters. Raises `InvalidRequest`."""
    limit = query.get("limit", "20")
    is_known = query.keys() <= set(known) and query.get("order", "desc") in {"asc", "desc"}
    if not is_known or not limit.isdecimal() or not 1 <= int(limit) <= LIMIT_MAX:
        raise InvalidRequest(
            f"The list takes {', '.join(known)}; limit is 1 to {LIMIT_MAX}, order asc or desc. "
            "Leave out what it does not take."
        )
    return msgspec.convert({**query, "limit": min(int(limit), PAGE_MAX)}, Page)


def page_of(
    ids: Sequence[str], page: Page, read: Callable[[str], msgspec.Struct | None]
) -> dict[str, object]:
    """The list object: `ids` are the oldest first, and `read` gives None for what is left out.

    Raises `InvalidRequest` where `after` is not among them.
    """
    ordered = list(ids) if page.order == "asc" else list(reversed(ids))
    if page.after:
        if page.after not in ordered:
            raise InvalidRequest(
                "`after` names nothing in this list. Take it from `last_id` of the page before."
            )
        ordered = ordered[ordered.index(page.after) + 1 :]
    found: dict[str, msgspec.Struct] = {}
    has_more = False
    for object_id in ordered:
        try:
            value = read(object_id)
        except UnknownObject:
            # It was deleted since its name was listed.
            continue
        if value is None:
            continue
        if len(found) == page.limit:
            has_more = True
            break
        found[object_id] = value
    shown = list(found)
    return {
        "object": "list",
        "data": list(found.values()),
        "first_id": shown[0] if shown else None,
        "last_id": shown[-1] if shown else None,
        "has_more": has_more,
    }
