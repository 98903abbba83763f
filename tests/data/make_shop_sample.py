"""Draws the small shop that tests search and `layers/indexes/shop-sample` holds.

    FARTHING_DATA=… python tests/data/make_shop_sample.py

Whole product clusters are drawn, by the smallest sha256 of their query's id, until the offers are
enough; queries keep their split.
"""

from __future__ import annotations

import gzip
import hashlib
import os
from collections import defaultdict
from pathlib import Path

OFFERS = 4_800
DATA = Path(os.environ["FARTHING_DATA"])
OUT = Path(__file__).parent / "shop-sample"


def read(name: str) -> list[dict[str, str]]:
    with gzip.open(DATA / name, "rt", encoding="utf-8", newline="\n") as file:
        head = file.readline().rstrip("\n").split("\t")
        return [dict(zip(head, line.rstrip("\n").split("\t"), strict=True)) for line in file]


def write(name: str, columns: str, rows: list[tuple[str, ...]]) -> None:
    lines = [columns.replace(" ", "\t"), *("\t".join(row) for row in rows)]
    content = "".join(f"{line}\n" for line in lines).encode()
    # Without a time, so that the same rows are the same bytes.
    (OUT / f"{name}.tsv.gz").write_bytes(gzip.compress(content, mtime=0))


def order(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def main() -> None:
    splits = [read(f"pricerunner/{split}.tsv.gz") for split in ("train", "valid", "test")]
    offers = {row["id"]: row for rows in splits for row in rows}
    relevant = defaultdict(list)
    for row in read("product-search/qrels.tsv.gz"):
        if row["query_id"].startswith("prq-"):
            relevant[row["query_id"]].append(row)
    drawn: dict[str, None] = {}
    queries = []
    asked = {row["query_id"]: row for row in read("product-search/queries.tsv.gz")}
    for query in sorted(relevant, key=order):
        if len(drawn) >= OFFERS:
            break
        queries.append(asked[query])
        drawn.update(dict.fromkeys(row["doc_id"] for row in relevant[query]))
    catalogue = sorted(drawn, key=order)
    rows = [offers[name] for name in catalogue]
    write("catalogue", "id title category", [tuple(row.values()) for row in rows])
    write("queries", "query_id query split", [tuple(row.values()) for row in queries])
    judged = [row for query in queries for row in relevant[query["query_id"]]]
    write("qrels", "query_id doc_id grade", [tuple(row.values()) for row in judged])
    print(f"{len(rows)} offers, {len(queries)} queries, {len(judged)} judgements")


if __name__ == "__main__":
    main()
