"""Starts a function over and over and times it, inside its own container.

Handed to the image's Python as text, so it imports the standard library and no more, and knows
nothing of this project. Its argument is a JSON object, see `Plan` in `cold`; it prints one. It is
the Lambda runtime's API (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html) or an
HTTP client, and does nothing while the function starts.
"""

from __future__ import annotations

import http.client
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from typing import Any, NamedTuple

LOOPBACK = "127.0.0.1"
ANSWER_S_MAX = 60
# A container that has spent its share of a period waits; each start begins with a full one.
REST_S = 0.25


class Start(NamedTuple):
    """Seconds to the answer, seconds of CPU and the most memory in MB until then."""

    taken_s: float
    cpu_s: float
    peak_mb: float
    answer: bytes


class RuntimeApi(http.server.BaseHTTPRequestHandler):
    """Hands out the event to whoever asks for the next one, and keeps the first answer."""

    protocol_version = "HTTP/1.1"
    event = b""
    answered_s = 0.0
    answer = b""
    done = threading.Event()
    handed_out = False

    def do_GET(self) -> None:
        if RuntimeApi.handed_out:
            RuntimeApi.done.wait()
            self.close_connection = True
            return
        RuntimeApi.handed_out = True
        self.send_response(200)
        deadline_ms = int(time.time() * 1000) + 30_000
        self.send_header("Lambda-Runtime-Aws-Request-Id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
        self.send_header("Lambda-Runtime-Deadline-Ms", str(deadline_ms))
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:::function:f")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self.event)))
        self.end_headers()
        self.wfile.write(self.event)

    def do_POST(self) -> None:
        RuntimeApi.answer = self.rfile.read(int(self.headers["Content-Length"]))
        RuntimeApi.answered_s = time.monotonic()
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()
        RuntimeApi.done.set()

    def log_message(self, *_: Any) -> None:
        pass


def start_lambda(plan: dict[str, Any]) -> Start:
    RuntimeApi.event = json.dumps(plan["event"]).encode()
    RuntimeApi.done.clear()
    RuntimeApi.handed_out = False
    server = http.server.ThreadingHTTPServer((LOOPBACK, 0), RuntimeApi)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environ = {"AWS_LAMBDA_RUNTIME_API": f"{LOOPBACK}:{server.server_port}"}
    begun_s, process = _spawn(plan, environ)
    if not RuntimeApi.done.wait(ANSWER_S_MAX):
        process.kill()
        raise SystemExit("the function did not answer")
    spent = _end(process)
    server.shutdown()
    server.server_close()
    return Start(RuntimeApi.answered_s - begun_s, *spent, RuntimeApi.answer)


def start_http(plan: dict[str, Any]) -> Start:
    """The request lies in the socket's queue before the server is there to take it: a client that
    asks again and again would spend the share of CPU that it measures.
    """
    with socket.create_server((LOOPBACK, 0)) as listener:
        port, inherited = listener.getsockname()[1], listener.fileno()
        begun_s, process = _spawn(plan, {"UVICORN_FD": str(inherited)}, (inherited,))
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=ANSWER_S_MAX)
    headers = {"Content-Type": "application/json"}
    try:
        connection.request("POST", plan["event"]["rawPath"], plan["event"]["body"], headers)
        answer = connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        process.kill()
        raise SystemExit("the function did not answer") from None
    answered_s = time.monotonic()
    connection.close()
    return Start(answered_s - begun_s, *_end(process), answer)


def start_bare(plan: dict[str, Any]) -> Start:
    """The floor says by a line that it has its answer."""
    begun_s = time.monotonic()
    command = [sys.executable, "-c", plan["bare"], plan["bundle"], plan["text"]]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: S603 - the floor
    line = process.stdout.readline() if process.stdout else b""
    taken_s = time.monotonic() - begun_s
    if not line:
        raise SystemExit("the bare script failed")
    return Start(taken_s, *_end(process), line)


def _spawn(
    plan: dict[str, Any], environ: dict[str, str], inherited: tuple[int, ...] = ()
) -> tuple[float, subprocess.Popen[bytes]]:
    begun_s = time.monotonic()
    environ = {**os.environ, **plan["environ"], **environ}
    process = subprocess.Popen(  # noqa: S603 - ours
        plan["command"], env=environ, stdout=subprocess.DEVNULL, pass_fds=inherited
    )
    return begun_s, process


def _end(process: subprocess.Popen[bytes]) -> tuple[float, float]:
    """Ends the process; the CPU seconds it took and the most memory it held, in MB."""
    process.kill()
    _, _, spent = os.wait4(process.pid, 0)
    process.returncode = 0
    return spent.ru_utime + spent.ru_stime, spent.ru_maxrss / 1024


def main(plan: dict[str, Any]) -> dict[str, Any]:
    """Every start of ours and of the floor, by turns, as lists of figures."""
    start = start_lambda if plan["kind"] == "lambda" else start_http
    ours, floor = [], []
    for _ in range(plan["rounds"] + 1):
        time.sleep(REST_S)
        ours.append(start(plan))
        if plan["bundle"]:
            time.sleep(REST_S)
            floor.append(start_bare(plan))
    # The first of each reads its files from disk; those that follow differ only in work.
    return {
        "ours_s": [it.taken_s for it in ours[1:]],
        "ours_cpu_s": [it.cpu_s for it in ours[1:]],
        "floor_s": [it.taken_s for it in floor[1:]],
        "floor_cpu_s": [it.cpu_s for it in floor[1:]],
        "peak_mb": max(it.peak_mb for it in ours),
        "answer": ours[-1].answer.decode(),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(json.loads(sys.argv[1]))) + "\n")
