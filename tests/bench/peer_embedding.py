"""A peer of building: processes that embed titles in batches of like length, and nothing else.

Run by `search`. Arguments: the catalogue, the embedder's folder, how many processes. Prints JSON:
how many titles a second they embed together.
"""

from __future__ import annotations

import gzip
import json
import multiprocessing
import sys
import time
from pathlib import Path

from farthing.inference.bundle import Bundle
from farthing.inference.tasks import Embedder

TITLES = 12_000
TITLES_AT_ONCE = 1024


def embed(titles: list[str], bundle: str, start: multiprocessing.Barrier) -> None:
    embedder = Embedder(Bundle.open(Path(bundle)))
    start.wait()
    for first in range(0, len(titles), TITLES_AT_ONCE):
        embedder.vectors(titles[first : first + TITLES_AT_ONCE])


def main() -> None:
    catalogue, bundle, processes = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with gzip.open(catalogue, "rt", encoding="utf-8", newline="\n") as lines:
        column = next(lines).rstrip("\n").split("\t").index("title")
        titles = [line.rstrip("\n").split("\t")[column] for line in lines]
    titles = titles[:: len(titles) // TITLES][:TITLES]
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Barrier(processes + 1)
    workers = [
        spawn.Process(target=embed, args=(titles[number::processes], bundle, start))
        for number in range(processes)
    ]
    for worker in workers:
        worker.start()
    start.wait()
    started_s = time.monotonic()
    for worker in workers:
        worker.join()
    print(json.dumps({"texts_per_s": len(titles) / (time.monotonic() - started_s)}))


if __name__ == "__main__":
    main()
