"""A stand-in for OSS: as much of its own interface as an index asks for, signatures checked.

It follows Alibaba Cloud's public API reference; the service itself was not asked.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, unquote

from farthing.billing.stores.credentials import Credentials
from farthing.billing.stores.signing import OSS, Signer

if TYPE_CHECKING:
    from collections.abc import Iterator

ENVIRON = {
    "ALIBABA_CLOUD_ACCESS_KEY_ID": "LTAIEXAMPLE",
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "secretEXAMPLE",
}
KEY = Credentials("LTAIEXAMPLE", "secretEXAMPLE")
ARCHIVED = "ColdArchive"


class Oss:
    """What it keeps, by `/bucket/key`; `age_s` is how long ago everything was written."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.lock = threading.Lock()
        self.age_s = 0.0
        self.endpoint = ""

    @contextmanager
    def running(self) -> Iterator[Oss]:
        class Bound(Handler):
            oss = self

        server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        self.endpoint = f"http://127.0.0.1:{server.server_port}"
        yield self
        server.shutdown()
        server.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    oss: Oss

    def handle_one(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        path, _, query = self.path.partition("?")
        if not self._signed(path, query):
            return self._say(403, code="SignatureDoesNotMatch")
        name = unquote(path)
        with self.oss.lock:
            if "list-type" in query:
                return self._list(name, parse_qs(query))
            if query == "restore":
                return self._restore(name, body)
            return getattr(self, f"_{self.command.lower()}")(name, body)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = handle_one  # noqa: N815

    def _put(self, name: str, body: bytes) -> None:
        source = self.headers["x-oss-copy-object-source"]
        if source:
            found = self.oss.objects.get(unquote(source))
            if found is None:
                return self._say(404, code="NoSuchKey")
            if self._cold(found):
                return self._say(403, code="InvalidObjectState")
            body = found["body"]
        elif self.headers["x-oss-forbid-overwrite"] == "true" and name in self.oss.objects:
            return self._say(409, code="FileAlreadyExists")
        self.oss.objects[name] = {
            "body": body,
            "class": self.headers["x-oss-storage-class"] or "Standard",
            "restored": False,
        }
        return self._say(200, etag=self._etag(body))

    def _get(self, name: str, _: bytes) -> None:
        found = self.oss.objects.get(name)
        if found is None:
            return self._say(404, code="NoSuchKey")
        if self._cold(found):
            return self._say(403, code="InvalidObjectState")
        span = re.fullmatch(r"bytes=(\d+)-", self.headers["range"] or "bytes=0-")
        assert span is not None
        start = int(span[1])
        if start and start >= len(found["body"]):
            return self._say(416, code="InvalidRange")
        etag = self._etag(found["body"])
        return self._say(206 if start else 200, found["body"][start:], etag=etag)

    def _head(self, name: str, _: bytes) -> None:
        found = self.oss.objects.get(name)
        if found is None:
            return self._say(404)
        extra = {"x-oss-storage-class": found["class"]}
        if found["class"] == ARCHIVED and found.get("asked"):
            extra["x-oss-restore"] = f'ongoing-request="{str(not found["restored"]).lower()}"'
        return self._say(200, etag=self._etag(found["body"]), **extra)

    def _delete(self, name: str, _: bytes) -> None:
        self.oss.objects.pop(name, None)
        self._say(204)

    def _restore(self, name: str, body: bytes) -> None:
        found = self.oss.objects[name]
        assert b"<JobParameters><Tier>" in body
        if found.get("asked"):
            return self._say(409, code="RestoreAlreadyInProgress")
        found["asked"] = True
        return self._say(202)

    def _list(self, bucket: str, query: dict[str, list[str]]) -> None:
        after = query.get("continuation-token", [""])[0]
        names = sorted(name.removeprefix(bucket) for name in self.oss.objects)
        names = [name for name in names if name.startswith(query["prefix"][0]) and name > after]
        keys = "".join(
            f"<Contents><Key>{quote(name, safe='')}</Key></Contents>" for name in names[:2]
        )
        more = f"<NextContinuationToken>{names[1]}</NextContinuationToken>" if names[2:] else ""
        self._say(200, f"<ListBucketResult>{more}{keys}</ListBucketResult>".encode())

    def _cold(self, found: dict[str, Any]) -> bool:
        return found["class"] == ARCHIVED and not found["restored"]

    def _etag(self, body: bytes) -> str:
        return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest().upper()}"'

    def _signed(self, path: str, query: str) -> bool:
        headers = {name.lower(): value for name, value in self.headers.items()}
        expected = Signer(OSS, "oss", "cn-hangzhou").authorization(
            KEY, headers["x-oss-date"], self.command, path, query, headers, "UNSIGNED-PAYLOAD"
        )
        return headers["authorization"] == expected

    def _say(self, status: int, body: bytes = b"", code: str = "", **headers: str) -> None:
        if code:
            body = f"<Error><Code>{code}</Code></Error>".encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Last-Modified", formatdate(time.time() - self.oss.age_s, usegmt=True))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""
