"""A server of ours as a process of its own, on loopback, in an environment that is only its own."""

from __future__ import annotations

import os
import random
import shlex
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Self

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(sys.executable).parent
LOOPBACK = "127.0.0.1"
# Below those that Linux hands out, above those of well-known services.
UNASSIGNED_PORTS = range(20_000, 32_000)
_given_ports: set[int] = set()
# Bounds for a machine that is busy with other things; nothing here measures speed.
START_S = 120
REQUEST_S = 300
STOP_S = 60
REFUSE_S = 120
# All that a process inherits: whatever else the developer has set must not price an answer.
INHERITED = ("PATH", "HOME", "TMPDIR", "LANG", "LD_LIBRARY_PATH", "SYSTEMROOT")


def clean_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """`extra`, and of this process's own environment only what any program needs."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {**inherited, "PYTHONDONTWRITEBYTECODE": "1", **extra}


def free_port() -> int:
    """A port on loopback that nothing listened on a moment ago, and that the system gives nobody
    by itself: neither a client nor a server that binds port 0 takes it before it is used. No port
    is given twice."""
    while True:
        port = random.choice(UNASSIGNED_PORTS)
        if port in _given_ports:
            continue
        with socket.socket() as probe, suppress(OSError):
            probe.bind((LOOPBACK, port))
            _given_ports.add(port)
            return port


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port on loopback that refuses every connection: it is held, and nobody listens."""
    with socket.socket() as held:
        held.bind((LOOPBACK, 0))
        yield held.getsockname()[1]


def farthing(*arguments: str) -> list[str]:
    """The command line of the installed `farthing` script."""
    return [str(SCRIPTS / "farthing"), *arguments]


def uvicorn(function: str) -> list[str]:
    """The command line by which Function Compute and Knative run a function.

    The platform hands the port over in the environment, and a shell puts it in.
    """
    python = shlex.quote(sys.executable)
    app = f"functions.{function}.app:app"
    listening = f'--host {LOOPBACK} --port "$PORT" --http farthing.serving.connections:Connection'
    return ["sh", "-c", f"exec {python} -m uvicorn {app} {listening}"]


def run_to_end(
    command: Sequence[str], environ: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself; one that goes on is killed, and the test fails."""
    return subprocess.run(
        command,
        cwd=ROOT,
        env=clean_environment(environ),
        capture_output=True,
        text=True,
        timeout=REFUSE_S,
        check=False,
    )


def terminate(process: subprocess.Popen[bytes]) -> int:
    """The exit status after SIGTERM. Raises `subprocess.TimeoutExpired` if it stays."""
    process.send_signal(signal.SIGTERM)
    return process.wait(STOP_S)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a process of the tests' own, by force if need be."""
    if process.poll() is None:
        try:
            terminate(process)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_S)


class Server:
    """A started process and the HTTP client that speaks to it; leaving the context stops it."""

    def __init__(
        self, command: Sequence[str], environ: Mapping[str, str], port: int, log: Path
    ) -> None:
        self.port = port
        self.url = f"http://{LOOPBACK}:{port}"
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=clean_environment(environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        # A proxy of the developer's has no business between a test and its loopback.
        self.client = httpx.Client(base_url=self.url, timeout=REQUEST_S, trust_env=False)

    @property
    def output(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def wait_until_ready(self) -> Self:
        """Itself, once `/readyz` says 200."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.is_running:
            try:
                if self.client.get("/readyz").status_code == 200:
                    return self
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        self.stop()
        raise AssertionError(f"The server was never ready; it said:\n{self.output}")

    def connect(self) -> socket.socket:
        """A bare connection, for what no HTTP client would send."""
        return socket.create_connection((LOOPBACK, self.port), timeout=REQUEST_S)

    def send_raw(self, request: bytes) -> httpx.Response:
        """The response to these bytes; the server must close or state its answer's length."""
        with self.connect() as connection, connection.makefile("rb") as reader:
            connection.sendall(request)
            status = int(reader.readline().split()[1])
            headers = []
            while (line := reader.readline().strip()) != b"":
                name, _, value = line.partition(b": ")
                headers.append((name, value))
            length = int(dict(httpx.Headers(headers)).get("content-length", "-1"))
            return httpx.Response(status, headers=headers, content=reader.read(length))

    def terminate(self) -> int:
        """The exit status after SIGTERM. Raises `subprocess.TimeoutExpired` if it stays."""
        return terminate(self.process)

    def stop(self) -> None:
        self.client.close()
        stop(self.process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
