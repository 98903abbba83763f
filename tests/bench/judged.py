"""Judged collections below FARTHING_DATA, and an index of each, built as a user builds one."""

from __future__ import annotations

import os
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil

from farthing.indexing.evaluation.queries import read_qrels, read_queries
from tests.bench.surroundings import LOCAL, PYTHON, ROOT, bundles, console, data, environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.indexing.evaluation.queries import Qrels, Query

CATALOGUE = "product-search"
INDEX_VARIABLE = "FARTHING_BENCH_INDEX"
OUT_VARIABLE = "FARTHING_BENCH_OUT"
BYTES_PER_MB = 1024 * 1024
POLL_S = 0.1


class Collection(NamedTuple):
    """Documents to index, queries to ask, and which documents answer them."""

    name: str
    documents: Path
    texts: tuple[str, ...]
    queries: list[Query]
    qrels: Qrels
    options: tuple[str, ...]

    def test_queries(self) -> list[Query]:
        return [query for query in self.queries if query.split == "test"]


class Watched(NamedTuple):
    """What a command wrote, and the largest resident set of all its processes together."""

    output: bytes
    peak_mb: float


def collection(name: str, *, trained: bool) -> Collection | None:
    """The collection; None where FARTHING_DATA has none of that name."""
    documents = data(f"{name}/catalogue.tsv.gz") or data(f"{name}/docs.tsv.gz")
    queries, qrels = data(f"{name}/queries.tsv.gz"), data(f"{name}/qrels.tsv.gz")
    if documents is None or queries is None or qrels is None:
        return None
    texts = ("title",) if name == CATALOGUE else ("title", "text")
    options = ("--train-queries", str(queries), "--train-qrels", str(qrels)) if trained else ()
    return Collection(name, documents, texts, read_queries(queries), read_qrels(qrels), options)


def index_of(of: Collection) -> tuple[Path, Watched | None]:
    """The collection's index, and how it was built where it was now.

    The catalogue's may be given as FARTHING_BENCH_INDEX; what is built below FARTHING_BENCH_OUT
    is found there again.
    """
    given = os.environ.get(INDEX_VARIABLE)
    if given and of.name == CATALOGUE:
        return Path(given), None
    folder = out_folder() / f"index-{of.name}{'-trained' if of.options else ''}"
    if (folder / "manifest.json").is_file():
        return folder, None
    console.print(f"Building an index of {of.name} …")
    return folder, build(of, folder)


@cache
def out_folder() -> Path:
    """Where plots and indexes go: FARTHING_BENCH_OUT, else a folder of this run."""
    stated = os.environ.get(OUT_VARIABLE)
    if not stated:
        return Path(_scratch().name)
    folder = Path(stated)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    """Kept until the process ends, and removed then."""
    return tempfile.TemporaryDirectory(prefix="farthing-bench-")


def build(of: Collection, folder: Path) -> Watched:
    """Builds as a user does, with `farthing index build … --json`."""
    texts = [part for column in of.texts for part in ("--text", column)]
    command = [
        *(str(Path(PYTHON).with_name("farthing")), "index", "build", str(of.documents)),
        *("--id", "doc_id", *texts, "--out", str(folder), *of.options, "--json"),
    ]
    return watched(command)


def watched(command: Sequence[str]) -> Watched:
    """Runs the command, and looks ten times a second at what its processes hold.

    Raises `RuntimeError` with what it wrote to stderr where it fails.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as complaints:
        process = psutil.Popen(
            list(command), cwd=ROOT, env=environment(LOCAL), stdout=output, stderr=complaints
        )
        peak_bytes = 0
        while process.poll() is None:
            peak_bytes = max(peak_bytes, _resident_bytes(process))
            time.sleep(POLL_S)
        for file in (output, complaints):
            file.seek(0)
        if process.returncode:
            raise RuntimeError(f"{command[1:4]} failed: {complaints.read()[-2000:].decode()}")
        return Watched(output.read(), peak_bytes / BYTES_PER_MB)


def _resident_bytes(process: psutil.Process) -> int:
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def embed_bundle() -> Path:
    folder, _ = bundles("embed")[0]
    return folder
