"""What the tests of vector stores keep in them, and a real Chroma server."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from farthing.search.manifest import EmbedderFacts, Filter
from farthing.search.stores import Item, Label
from tests.functions.server import LOOPBACK, SCRIPTS, START_S, clean_environment, free_port, stop

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DIMS = 32
EMBEDDER = EmbedderFacts("tiny", "a" * 64, DIMS)
FILTERS = (
    Filter("brand"),
    Filter("Größe (cm)", "number"),
    Filter("price", "number"),
    Filter('in "or" \\ not'),
)
LABEL = Label(EMBEDDER, FILTERS)
# What each kind needs to be installed; the embedded one is part of an index.
NEEDED = {
    "embedded": "tantivy",
    "chroma": "chromadb",
    "chroma-server": "chromadb",
    "milvus": "milvus_lite",
    "milvus-server": "milvus_lite",
    "pinecone": "pinecone",
}


def is_installed(kind: str) -> bool:
    return importlib.util.find_spec(NEEDED[kind]) is not None


def vectors(count: int, seed: int = 7) -> np.ndarray:
    """float32[count, DIMS] of length 1, in random directions."""
    rows = np.random.default_rng(seed).normal(size=(count, DIMS)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def items(rows: np.ndarray, prefix: str = "item-") -> list[Item]:
    """One for each row, its place in the metadata."""
    return [Item(f"{prefix}{place}", row, {"place": place}) for place, row in enumerate(rows)]


def nearest_by_numpy(rows: np.ndarray, query: np.ndarray, limit: int) -> list[int]:
    """The places of the rows with the greatest cosines, best first."""
    cosines = rows @ query / np.linalg.norm(rows, axis=1) / np.linalg.norm(query)
    return np.argsort(-cosines, kind="stable")[:limit].tolist()


@contextmanager
def chroma_server(folder: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A real Chroma server on loopback: its port and its process."""
    port = free_port()
    command = ["chroma", "run", "--path", str(folder / "data"), *_at(port)]
    with _running(command, folder, port) as process:
        yield port, process


@contextmanager
def milvus_server(folder: Path) -> Iterator[int]:
    """The port of a Milvus Lite server on loopback, which speaks as a cluster does."""
    port = free_port()
    program = str(Path(__file__).with_name("milvus_lite_server.py"))
    command = ["python", program, "server", "--data-dir", str(folder / "data"), *_at(port)]
    with _running(command, folder, port):
        yield port


def _at(port: int) -> list[str]:
    return ["--host", LOOPBACK, "--port", str(port)]


@contextmanager
def _running(command: Sequence[str], folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The process, once something listens on its port."""
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [str(SCRIPTS / command[0]), *command[1:]],
            cwd=folder,
            env=clean_environment({"ANONYMIZED_TELEMETRY": "False"}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + START_S
        while not _listens(port):
            assert process.poll() is None, (folder / "server.log").read_text()
            assert time.monotonic() < deadline, "The server was never ready."
            time.sleep(0.05)
        yield process
    finally:
        stop(process)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0
