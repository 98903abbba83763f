"""HTTP servers in processes of their own, and a plain keep-alive client for them."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

from tests.bench.surroundings import PYTHON, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HOST = "127.0.0.1"
START_S_MAX = 60
STOP_S_MAX = 10
HEADERS = {"Content-Type": "application/json"}
# The same event loop and HTTP parser for every contestant, and no log line per request.
UVICORN = (
    *("-m", "uvicorn", "--loop", "uvloop", "--http", "httptools", "--workers", "1"),
    *("--log-level", "warning", "--no-access-log", "--host", HOST),
    *("--timeout-keep-alive", "75"),
)


class Client:
    """One connection that is kept alive."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(HOST, port, timeout=30)
        self._connection.connect()
        sock = self._connection.sock
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def post(self, path: str, body: bytes) -> bytes:
        """The answer's body. Raises `RuntimeError` unless the status is 200."""
        self._connection.request("POST", path, body, HEADERS)
        response = self._connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise RuntimeError(f"{path} answered {response.status}: {answer[:500]!r}")
        return answer


class Server:
    """A running server: where it listens, and its process's id."""

    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self.pid = pid


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(
    arguments: Sequence[str],
    environ: Mapping[str, str],
    ready_path: str,
    *,
    python: str = PYTHON,
) -> Iterator[Server]:
    """`python <arguments> --port N`, from its first 200 at `ready_path` until the block's end.

    What it keeps, a ledger say, is gone then: a bench's calls are none of the user's.

    Raises `RuntimeError` with what the process wrote where it does not come up.
    """
    port = free_port()
    command = [python, *arguments, "--port", str(port)]
    with tempfile.TemporaryFile("w+b") as log, tempfile.TemporaryDirectory() as state:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**environ, "XDG_STATE_HOME": state},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            _await_ready(process, port, ready_path, log)
            yield Server(port, process.pid)
        finally:
            process.terminate()
            try:
                process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            # What a server of several processes leaves behind ends with its session.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _await_ready(
    process: subprocess.Popen[bytes], port: int, ready_path: str, log: IO[bytes]
) -> None:
    deadline_s = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline_s and process.poll() is None:
        connection = http.client.HTTPConnection(HOST, port, timeout=5)
        try:
            connection.request("GET", ready_path)
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.05)
    log.seek(0)
    raise RuntimeError(f"The server did not come up: {log.read()[-2000:].decode()}")
