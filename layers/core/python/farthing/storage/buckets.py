"""A prefix of a bucket of S3 or OSS as a storage."""

from __future__ import annotations

import html
import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, unquote, urlsplit

from farthing.errors import (
    FileArchived,
    FileMissing,
    PublishConflict,
    SettingsError,
    StorageUnavailable,
)
from farthing.storage.client import BucketClient, Unsuccessful
from farthing.storage.contract import ANY, checked_name
from farthing.storage.dialects import DIALECTS
from farthing.storage.files import place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from farthing.storage.client import Reply
    from farthing.storage.contract import Expect

KEY: Final = re.compile(rb"<Key>([^<]*)</Key>")
NEXT: Final = re.compile(rb"<NextContinuationToken>([^<]*)</NextContinuationToken>")
DATE: Final = "%a, %d %b %Y %H:%M:%S GMT"
# Longer than any writer needs between two requests.
LEASE_S: Final = 60.0
PRESENT: Final = {409, 412}


def open_bucket(address: str, environ: Mapping[str, str]) -> BucketStorage:
    """The storage at `s3://BUCKET[/PREFIX][?region=…][&endpoint=…]`, or the same of `oss://`.

    Raises `SettingsError` for an address without bucket or region, or without an access key.
    """
    parts = urlsplit(address)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    region = query.get("region") or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    if parts.scheme == "oss":
        region = query.get("region") or environ.get("FC_REGION")
    if not parts.netloc or not region:
        raise SettingsError(
            f"The address names no bucket in a region. Use {parts.scheme}://BUCKET/PREFIX"
            "?region=REGION."
        )
    dialect = DIALECTS[parts.scheme]
    prefix = parts.path.strip("/")
    client = BucketClient(
        dialect, parts.netloc, region, dialect.credentials(environ), query.get("endpoint", "")
    )
    return BucketStorage(client, f"{prefix}/" if prefix else "")


class BucketStorage:
    """An etag is the service's own. Where the service cannot compare it, a lock file stands in."""

    def __init__(self, client: BucketClient, prefix: str) -> None:
        self.client, self._prefix = client, prefix

    @property
    def url(self) -> str:
        return f"{self.client.dialect.name.lower()}://{self.client.bucket}/{self._prefix}".rstrip(
            "/"
        )

    def key(self, name: str) -> str:
        """The object's key in the bucket."""
        return self._prefix + checked_name(name)

    def read(self, name: str) -> bytes:
        return b"".join(self.stream(name))

    def stream(self, name: str, start: int = 0) -> Iterator[bytes]:
        try:
            yield from self.client.stream(self.key(name), start)
        except Unsuccessful as refused:
            # Nothing is left from there on.
            if refused.reply.status != 416:
                raise self._error(name, refused.reply) from None

    def fetch(self, name: str, target: Path) -> None:
        place(target, self.stream(name))

    def write(self, name: str, content: bytes | Path, *, expect: Expect = ANY) -> str:
        if expect is ANY:
            return self._put(name, content, {})
        if expect is None:
            return self._put(name, content, dict(self.client.dialect.only_new))
        if self.client.dialect.replaces:
            return self._put(name, content, {"if-match": f'"{expect}"'})
        with self._lease(name):
            if self.etag(name) != expect:
                raise self._conflict(name)
            return self._put(name, content, {})

    def etag(self, name: str) -> str | None:
        reply = self.client.ask("HEAD", self.key(name))
        if reply.status == 404:
            return None
        if reply.status != 200:
            raise self._error(name, reply)
        return _etag(reply)

    def names(self, prefix: str = "") -> Iterator[str]:
        query = {"list-type": "2", "prefix": self._prefix + prefix, "encoding-type": "url"}
        while True:
            reply = self.client.ask("GET", "", query)
            if reply.status != 200:
                raise self._error(prefix or "A listing", reply)
            for key in KEY.findall(reply.body):
                name = unquote(html.unescape(key.decode())).removeprefix(self._prefix)
                if not name.startswith("."):
                    yield name
            following = NEXT.search(reply.body)
            if following is None:
                return
            query["continuation-token"] = html.unescape(following[1].decode())

    def delete(self, name: str) -> None:
        self._delete(self.key(name), name)

    def _put(self, name: str, content: bytes | Path, headers: dict[str, str]) -> str:
        reply = self.client.ask("PUT", self.key(name), headers=headers, content=content)
        if reply.status == 200:
            return _etag(reply)
        if headers and (reply.status in PRESENT or reply.status == 404):
            # An attempt whose answer was lost may have been the one that wrote.
            if reply.attempts > 1 and isinstance(content, bytes):
                etag = self.etag(name)
                if etag is not None and self.read(name) == content:
                    return etag
            raise self._conflict(name)
        raise self._error(name, reply)

    def _delete(self, key: str, name: str) -> None:
        reply = self.client.ask("DELETE", key)
        if reply.status not in {200, 204, 404}:
            raise self._error(name, reply)

    @contextmanager
    def _lease(self, name: str) -> Iterator[None]:
        """Keeps other writers away, for a minute at most where this one is killed."""
        key = f"{self._prefix}.lock/{checked_name(name)}"
        only_new = dict(self.client.dialect.only_new)
        reply = self.client.ask("PUT", key, headers=only_new, content=b"held")
        if reply.status in PRESENT and self._age_s(key) > LEASE_S:
            self._delete(key, name)
            reply = self.client.ask("PUT", key, headers=only_new, content=b"held")
        if reply.status in PRESENT:
            raise self._conflict(name)
        if reply.status != 200:
            raise self._error(name, reply)
        try:
            yield
        finally:
            self._delete(key, name)

    def _age_s(self, key: str) -> float:
        """By the service's own clock; 0 where it is gone."""
        headers = self.client.ask("HEAD", key).headers
        try:
            now, then = (
                time.mktime(time.strptime(headers[name].decode("latin-1"), DATE))
                for name in (b"date", b"last-modified")
            )
        except (KeyError, ValueError):
            return 0.0
        return now - then

    def _conflict(self, name: str) -> PublishConflict:
        return PublishConflict(
            f"{self.url}/{name} is not what it was when it was read: another writer was first. "
            "Read it again and try again."
        )

    def _error(self, name: str, reply: Reply) -> Exception:
        """What an answer other than success means for a file."""
        place = f"{self.url}/{name}"
        dialect = self.client.dialect
        if reply.status == 404 and reply.code in {"", "NoSuchKey"}:
            return FileMissing(f"{place} is not there. Write it there, or correct the address.")
        if reply.code == "InvalidObjectState":
            return FileArchived(
                f"{place} lies in {dialect.name}'s archive. Ask for it with `farthing index "
                f"restore`; it takes {dialect.waits}."
            )
        return StorageUnavailable(
            f"{dialect.name} refuses {place} ({reply.code or f'HTTP {reply.status}'}). See that "
            "the bucket exists in that region, and that this function's role may use it so."
        )


def _etag(reply: Reply) -> str:
    return reply.headers.get(b"etag", b"").decode("latin-1").strip('"')
