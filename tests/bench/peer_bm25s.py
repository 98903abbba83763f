"""A peer of search by words: bm25s, as its own page shows it, with a stemmer.

Run by `search`, in an environment that has it. Arguments: the catalogue, a JSON file of query
texts. Prints JSON: times, memory, and the first 100 document ids of each query.
"""

from __future__ import annotations

import gzip
import json
import sys
import time

import bm25s
import numpy as np
import Stemmer

TOP_K = 100


def rss_mb() -> float:
    """The resident set now; the largest was while the index was made."""
    with open("/proc/self/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def main() -> None:
    catalogue, queries = sys.argv[1:]
    with gzip.open(catalogue, "rt", encoding="utf-8", newline="\n") as lines:
        names = next(lines).rstrip("\n").split("\t")
        rows = [dict(zip(names, line.rstrip("\n").split("\t"), strict=True)) for line in lines]
    with open(queries, encoding="utf-8") as file:
        texts = json.load(file)
    stemmer = Stemmer.Stemmer("english")

    def tokens(text, *, as_ids=True):
        return bm25s.tokenize(
            text, stopwords="en", stemmer=stemmer, show_progress=False, return_ids=as_ids
        )

    retriever = bm25s.BM25()
    retriever.index(tokens([row["title"] for row in rows]), show_progress=False)
    taken_ms, rankings = [], []
    for text in texts:
        started = time.perf_counter()
        found, _ = retriever.retrieve(
            tokens(text, as_ids=False), k=TOP_K, show_progress=False, n_threads=1
        )
        taken_ms.append((time.perf_counter() - started) * 1000)
        rankings.append([rows[row]["doc_id"] for row in found[0]])
    told = {
        "p50_ms": float(np.median(taken_ms)),
        "p99_ms": float(np.quantile(taken_ms, 0.99)),
        "rss_mb": rss_mb(),
        "rankings": rankings,
    }
    print(json.dumps(told))


main()
