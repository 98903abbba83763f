"""Where what an event brings goes, and what of it is our own."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from farthing.batch.errors import JobInvalid
from farthing.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.batch.job import Input
    from farthing.settings import Settings

QUERY: Final = re.compile(r"\?(?:region|endpoint)=.*$")
UNNAMEABLE: Final = re.compile(r"[^A-Za-z0-9._/-]+")
# Dots at the beginning of a part would lead out of the place, or hide it.
DOTTED: Final = re.compile(r"(^|/)\.+")
SLUG_CHARS_MAX: Final = 200
DIGEST_HEX: Final = 16
IN_BUCKETS: Final = re.compile(r"(?:s3|oss|gs)://[^/]")


def out_of(inputs: Sequence[Input], settings: Settings) -> str:
    """The address for a job's output: the same for the same files with the same contents.

    FARTHING_BATCH_OUT, then the first file's bucket and key as far as they can be a name, then a
    digest of all of them. Raises `SettingsError` where the setting is missing.
    """
    if not settings.batch_out:
        raise SettingsError(
            "There is nowhere to put what a file comes to. Set FARTHING_BATCH_OUT to a folder or "
            "to the prefix of a bucket."
        )
    digest = hashlib.sha256()
    for each in inputs:
        digest.update(f"{each.uri}\0{each.etag}\0".encode())
    path = QUERY.sub("", inputs[0].uri).partition("://")[2]
    slug = DOTTED.sub(r"\1_", UNNAMEABLE.sub("_", path))[:SLUG_CHARS_MAX].strip("/")
    return below(settings.batch_out, f"{slug}/{digest.hexdigest()[:DIGEST_HEX]}")


def below(address: str, name: str) -> str:
    """The address of what lies there under that name, in the same region."""
    query = QUERY.search(address)
    return f"{QUERY.sub('', address).rstrip('/')}/{name}{query[0] if query else ''}"


def name_below(uri: str, address: str) -> str | None:
    """What an object is called that lies below the address; None for one that does not."""
    folder = QUERY.sub("", address).rstrip("/") + "/"
    return uri[len(folder) :] if address and uri.startswith(folder) else None


def refuse_local(uris: Sequence[str], settings: Settings) -> None:
    """Raises `JobInvalid` for files of the machine itself, which no message may have read."""
    if settings.host != "local" and not all(IN_BUCKETS.match(uri) for uri in uris):
        raise JobInvalid(
            "An event is about a job whose inputs lie in no bucket. Give addresses that begin with "
            "s3://, oss:// or gs://."
        )
