"""A metadata service on loopback, as spot machines see it."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

EC2_PATH = "/latest/meta-data/spot/instance-action"
ALIBABA_PATH = "/latest/meta-data/instance/spot/termination-time"


class Metadata:
    """Answers as EC2's version 2 does, and Alibaba's."""

    def __init__(self) -> None:
        self.notices: dict[str, str] = {}
        self.wants_token = True
        self.tokens_given = 0
        self.token = ""
        self.asked: list[str] = []
        self.heard = threading.Event()

    def answer(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
        self.asked.append(f"{method} {path}")
        if len(self.asked) > 6:
            self.heard.set()
        if path == "/latest/api/token":
            ttl = [name for name in headers if name.endswith("-metadata-token-ttl-seconds")]
            if method != "PUT" or not ttl or not self.wants_token:
                return 405, ""
            self.tokens_given += 1
            self.token = f"token-{self.tokens_given}"
            return 200, self.token
        if self.wants_token and self.token not in headers.values():
            return 401, ""
        return (200, self.notices[path]) if path in self.notices else (404, "no such thing")


@contextmanager
def running(metadata: Metadata) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("GET")

        def do_PUT(self) -> None:
            self._answer("PUT")

        def _answer(self, method: str) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, body = metadata.answer(method, self.path, headers)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
