"""Lambda's runtime interface as far as SnapStart needs it, which AWS's emulator does not have.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html, and `/restore/next`, on which a
runtime waits between the hooks before a snapshot and those after its restore.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from tests.functions.server import LOOPBACK, ROOT, START_S, clean_environment, stop

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Self

VERSION = "/2018-06-01/runtime"
TIMEOUT_MS = 30_000
ARN = "arn:aws:lambda:us-east-1:123456789012:function:farthing"


class Environment:
    """One execution environment of a function that SnapStart made; leaving the context ends it.

    `told` are the runtime's requests so far, by path. The snapshot is taken when it first waits,
    and restored by `restore`.
    """

    def __init__(self, function: str, environ: Mapping[str, str], log: Path) -> None:
        self.told: list[str] = []
        self._events: SimpleQueue[tuple[str, bytes]] = SimpleQueue()
        self._answers: SimpleQueue[bytes] = SimpleQueue()
        self._is_restored = threading.Event()
        self._log = log
        self._server = _Server((LOOPBACK, 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        address = f"{LOOPBACK}:{self._server.server_port}"
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "awslambdaric", f"functions.{function}.app.handler"],
                cwd=ROOT,
                env=clean_environment({"AWS_LAMBDA_RUNTIME_API": address, **environ}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait_for(self, path: str) -> None:
        """Returns once the runtime has asked for the path."""
        deadline_s = time.monotonic() + START_S
        while path not in self.told:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline_s, f"{self.told}: {self.output}"
            time.sleep(0.02)

    def restore(self) -> None:
        self._is_restored.set()

    def invoke(self, event: Any) -> Any:
        """The function's answer."""
        self._events.put((f"attempt-{len(self.told)}", json.dumps(event).encode()))
        while self.process.poll() is None:
            with suppress(Empty):
                return json.loads(self._answers.get(timeout=0.2))
        raise AssertionError(f"The runtime ended; it said:\n{self.output}")

    @property
    def output(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        stop(self.process)
        # Whoever still waits for an event or the restore must not.
        self._events.put(("", b""))
        self._is_restored.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer_get(self, path: str) -> tuple[dict[str, str], bytes]:
        """Headers and body of what the runtime waits for."""
        if path == "/restore/next":
            self._is_restored.wait(START_S)
            return {}, b"{}"
        request_id, body = self._events.get()
        return {
            "Lambda-Runtime-Aws-Request-Id": request_id,
            "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + TIMEOUT_MS),
            "Lambda-Runtime-Invoked-Function-Arn": ARN,
            "Lambda-Runtime-Trace-Id": "Root=1-6b016496-16a4b3c25d6e7f8091130000",
            "Content-Type": "application/json",
        }, body

    def answer_post(self, path: str, body: bytes) -> None:
        if path.endswith("/response"):
            self._answers.put(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """The runtime was ended while it waited."""


def _handler(environment: Environment) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.removeprefix(VERSION)
            environment.told.append(path)
            headers, body = environment.answer_get(path)
            self._send(200, headers, body)

        def do_POST(self) -> None:
            path = self.path.removeprefix(VERSION)
            environment.told.append(path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            environment.answer_post(path, body)
            self._send(202, {}, b"{}")

        def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """The runtime's own log is enough."""

    return Handler
