"""The servers that Farthing is compared with, and the load that all of them are under."""

from __future__ import annotations

import os
import random
import re
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil

from tests.bench.samples import embeddings_body, titles
from tests.bench.servers import HOST, UVICORN, running
from tests.bench.surroundings import LOCAL, PYTHON, ROOT, bundles, environment

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tests.bench.servers import Server

LITSERVE_PYTHON = ROOT / ".cache" / "peers" / "bin" / "python"
PATH = "/v1/embeddings"
BODIES = 1000
CORES = os.cpu_count() or 1


class Load(NamedTuple):
    """What wrk measured, and the processor time of all the server's processes for a request.

    The latter means something on a busy machine, too.
    """

    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float


def farthing(**variables: str) -> AbstractContextManager[Server]:
    """`farthing serve` without a cache; nothing else of it is left out, so it meters and books."""
    arguments = (str(Path(PYTHON).with_name("farthing")), "serve")
    variables = {"FARTHING_WORKERS": str(CORES), "FARTHING_CACHE": "off", **variables}
    return running(arguments, environment(LOCAL, **variables), "/readyz")


def fastapi(**variables: str) -> AbstractContextManager[Server]:
    """With ONNX Runtime's own defaults, which take every core, unless told otherwise."""
    arguments = (*UVICORN, "tests.bench.peer_fastapi:app")
    return running(arguments, _environ(**variables), "/readyz")


def litserve(**variables: str) -> AbstractContextManager[Server]:
    """A process a core with one thread each, which was its fastest here: one process with all cores
    took 117 requests/s where these took 361, and its faster queue 77.
    """
    chosen = {"BENCH_WORKERS": str(CORES), "BENCH_THREADS": "1", **variables}
    arguments = ("-m", "tests.bench.peer_litserve")
    return running(arguments, _environ(**chosen), "/readyz", python=str(LITSERVE_PYTHON))


def _environ(**variables: str) -> dict[str, str]:
    folder, manifest = bundles("embed")[0]
    stated = {"BENCH_BUNDLE": str(folder), "BENCH_MAX_TOKENS": str(manifest.max_tokens)}
    return environment(LOCAL, **stated, **variables)


def bodies_file() -> tempfile._TemporaryFileWrapper[bytes]:
    """Requests for the vectors of random titles, one a line; deleted with the object."""
    chosen = random.Random(7).choices(titles(), k=BODIES)
    file = tempfile.NamedTemporaryFile("w+b", suffix=".jsonl")  # noqa: SIM115 - the caller's to close
    file.write(b"\n".join(embeddings_body(title) for title in chosen))
    file.flush()
    return file


def wrk(server: Server, bodies: str, *, connections: int, seconds: int) -> Load:
    """Random bodies of the file as fast as they are answered.

    Raises `RuntimeError` where any was not answered with 200.
    """
    script = Path(__file__).with_name("post.lua")
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
    before_s = _cpu_s(server.pid)
    output = subprocess.run(
        [*command, "-s", str(script), f"http://{HOST}:{server.port}{PATH}"],
        env={**os.environ, "BENCH_BODIES": bodies},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    cpu_s = _cpu_s(server.pid) - before_s
    found = [
        re.search(pattern, output)
        for pattern in (r"Requests/sec:\s+([\d.]+)", r"p50_us (\d+)", r"p99_us (\d+)", r"(\d+) req")
    ]
    if None in found or "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(f"wrk could not load the server: {output}")
    per_s, p50_us, p99_us, count = (float(one[1]) for one in found if one is not None)
    return Load(per_s, p50_us / 1000, p99_us / 1000, cpu_s * 1000 / count)


def _cpu_s(pid: int) -> float:
    """What a process and those it started have computed so far."""
    process = psutil.Process(pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))
