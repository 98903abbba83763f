"""Where files are kept by name: a folder, or a prefix of a bucket of S3 or OSS."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from farthing.errors import SettingsError
from farthing.storage.contract import ANY, Expect, Storage, checked_name
from farthing.storage.local import LocalStorage

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ANY",
    "Expect",
    "LocalStorage",
    "Storage",
    "checked_name",
    "local_folder",
    "open_storage",
]


def open_storage(address: str, environ: Mapping[str, str] = os.environ) -> Storage:
    """The storage at a folder's path, `file://…`, `s3://BUCKET/PREFIX` or `oss://BUCKET/PREFIX`.

    The latter take `?region=` and `&endpoint=`; keys come from the environment. Asks for nothing
    yet. Raises `SettingsError` for an address that is none of these, or lacks its region or key.
    """
    folder = local_folder(address)
    if folder is not None:
        return LocalStorage(folder)
    # A folder's readers do without the client and its sockets.
    from farthing.storage.buckets import open_bucket

    return open_bucket(address, environ)


def local_folder(address: str) -> Path | None:
    """The folder that `address` names, or None where it names a bucket.

    Raises `SettingsError` for an address of any other kind.
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        return Path(address).expanduser()
    if scheme == "file":
        return Path(unquote(rest))
    if scheme in {"s3", "oss"}:
        return None
    raise SettingsError(
        f"Nothing is kept at an address of the kind {scheme}://. Use a folder, "
        "s3://BUCKET/PREFIX or oss://BUCKET/PREFIX."
    )
