"""The file systems behind the addresses of a job's files, and what is said where one refuses.

S3 and OSS, through its S3-compatible address, are tested against a stand-in of S3, not against the
services; Google's client, gcsfs, not at all.
"""

from __future__ import annotations

import errno
import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import parse_qsl, unquote

import fsspec

from farthing.batch.errors import InputChanged, InputInvalid
from farthing.errors import FarthingError, SettingsError, StorageUnavailable
from farthing.storage.dialects import DIALECTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# A question mark in a name is a pattern; one before these words is an address's.
QUERY: Final = re.compile(r"\?((?:region|endpoint)=.*)$")
NEEDED: Final = {"s3": "farthing[batch]", "oss": "farthing[batch]", "gs": "farthing[batch-gcs]"}


class Place(NamedTuple):
    """A path, or a pattern of paths, in a file system of fsspec's; `scheme` is "" on this disk."""

    system: Any
    scheme: str
    path: str
    query: str = ""

    def uri(self, path: str) -> str:
        """The address of another path of the same file system."""
        return f"{self.scheme}://{path}{self.query}" if self.scheme else path


def place_of(uri: str, environ: Mapping[str, str] = os.environ) -> Place:
    """What a path, `file://…`, `s3://…`, `oss://…` or `gs://…` names; asks for nothing yet.

    Buckets take `?region=` and `&endpoint=`; keys come from the environment.

    :raises InputInvalid: for an address of any other kind, or whose client is not installed.
    :raises SettingsError: for OSS without region or key.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme == "file":
        named = Path(unquote(rest)) if separator else Path(uri).expanduser()
        return Place(fsspec.filesystem("file"), "", os.path.abspath(named))  # noqa: PTH100 (keeps links)
    if scheme not in NEEDED:
        raise InputInvalid(
            f"Files are not read from addresses of the kind {scheme}://. Use a path, s3://, "
            "oss:// or gs://."
        )
    query = QUERY.search(rest)
    path = rest[: query.start()] if query else rest
    options = dict(parse_qsl(query[1])) if query else {}
    try:
        system = _bucket_system(scheme, options, environ)
    except ImportError:
        raise InputInvalid(
            f"{uri} cannot be read, because the client for {scheme}:// is not installed. Install "
            f"{NEEDED[scheme]}."
        ) from None
    return Place(system, scheme, path, query[0] if query else "")


def _bucket_system(scheme: str, options: Mapping[str, str], environ: Mapping[str, str]) -> Any:
    """The client of a store of objects. It remembers no listing, so that changes are seen."""
    if scheme == "gs":
        return fsspec.filesystem("gs", use_listings_cache=False)
    region, endpoint = options.get("region"), options.get("endpoint")
    if scheme == "s3":
        region = region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
        return fsspec.filesystem(
            "s3",
            endpoint_url=endpoint,
            client_kwargs={"region_name": region} if region else {},
            use_listings_cache=False,
        )
    region = (region or environ.get("FC_REGION", "")).removeprefix("oss-")
    if not region:
        raise SettingsError(
            "The address names no bucket in a region. Use oss://BUCKET/FILE?region=REGION."
        )
    key = DIALECTS["oss"].credentials(environ)()
    return fsspec.filesystem(
        "s3",
        endpoint_url=endpoint or f"https://oss-{region}.aliyuncs.com",
        key=key.key_id,
        secret=key.secret,
        token=key.token or None,
        client_kwargs={"region_name": region},
        # OSS takes a bucket as a host only, and knows nothing of S3's newer checksums.
        config_kwargs={
            "s3": {"addressing_style": "auto" if endpoint else "virtual"},
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        },
        use_listings_cache=False,
    )


@contextmanager
def told(uri: str, *, planned: bool = False) -> Iterator[None]:
    """Tells of a file that its storage does not give, in a sentence that holds no secret.

    :param planned: whether it was there when its job was planned.
    :raises InputInvalid: where it is not there, or may not be read.
    :raises InputChanged: where it is another than a moment ago.
    :raises StorageUnavailable: where the storage does not answer.
    """
    uri = QUERY.sub("", uri)
    try:
        yield
    except (FarthingError, MemoryError):
        raise
    # Every client has a tree of errors of its own, beside Python's.
    except Exception as error:
        raise _refusal(uri, error, planned=planned) from error


def _refusal(uri: str, error: Exception, *, planned: bool) -> FarthingError:
    if isinstance(error, FileNotFoundError) and not planned:
        return InputInvalid(f"{uri} is not there. Name a file, or a pattern of files, that is.")
    if isinstance(error, FileNotFoundError) or getattr(error, "errno", None) == errno.EBUSY:
        return changed(uri)
    if isinstance(error, PermissionError) or "Credentials" in type(error).__name__:
        return InputInvalid(
            f"{uri} may not be read with the credentials of this process. Give it a key or a role "
            "that reads this file, or name another."
        )
    why = (isinstance(error, OSError) and error.strerror) or type(error).__name__
    return StorageUnavailable(
        f"{uri} cannot be read now ({why}). Try again when its storage answers."
    )


def changed(uri: str) -> InputChanged:
    """What is said of a file that is not the one that was planned."""
    return InputChanged(
        f"{QUERY.sub('', uri)} has changed since the job was planned. Let nothing write to it, "
        "and run the job again: what is done of the old file is not mixed with the new."
    )
