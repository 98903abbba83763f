"""A small real index and ranker for tests that are about serving: they count words in common."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from farthing.errors import Forbidden
from farthing.serving.ports import Changed, Ranked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

DOCUMENTS = {
    "d1": "red cotton chair",
    "d2": "blue chair",
    "d3": "a lamp in red and blue",
}


class Hit(msgspec.Struct):
    id: str
    score: float
    document: dict[str, Any]
    explain: dict[str, float] | None = None


class Found(NamedTuple):
    hits: list[Hit]
    stages_ns: dict[str, int]
    version: int


class Task(NamedTuple):
    tokens: int
    truncated: int
    run: Callable[[], Any]


class WordIndex:
    """Takes changes at once, where it is `writable`."""

    task = "search"

    def __init__(self, name: str = "words", *, writable: bool = True) -> None:
        self.name = name
        self.documents = dict(DOCUMENTS)
        self.version = 1
        self.writable = writable

    def describe(self) -> dict[str, object]:
        return {"task": self.task, "version": self.version}

    def prepare(self, texts: Sequence[str]) -> Task:
        return self.prepare_search(" ".join(texts), top_k=1, where={}, mode="bm25")

    def prepare_search(
        self,
        query: str,
        *,
        top_k: int,
        where: Mapping[str, Any],
        mode: str,
        explain: bool = False,
        tiers: str = "auto",
    ) -> Task:
        words = set(query.split())

        def run() -> Found:
            started_ns = time.perf_counter_ns()
            scores = {key: len(words & set(text.split())) for key, text in self.documents.items()}
            best = sorted((-score, key) for key, score in scores.items() if score)[:top_k]
            hits = [
                Hit(
                    key,
                    float(-score),
                    {"title": self.documents[key]},
                    {"words": float(-score)} if explain else None,
                )
                for score, key in best
            ]
            taken_ns = time.perf_counter_ns() - started_ns
            return Found(hits, {"lexical": taken_ns, "fetch": 0}, self.version)

        return Task(len(words), 0, run)

    def prepare_change(self, upserts: Sequence[Mapping[str, Any]], deletes: Sequence[str]) -> Task:
        if not self.writable:
            raise Forbidden("Nothing is written here. Write elsewhere.")

        def run() -> Changed:
            for key in deletes:
                self.documents.pop(key, None)
            self.documents |= {one["id"]: one["title"] for one in upserts}
            self.version += 1
            return Changed(len(upserts) + len(deletes), version=self.version)

        return Task(len(upserts), 0, run)

    def compute(self, work: Task, *, before_batch: Callable[[int], None] | None = None) -> Any:
        if before_batch is not None:
            before_batch(work.tokens)
        return work.run()


class WaitingIndex(WordIndex):
    """Takes changes for later."""

    def prepare_change(self, upserts: Sequence[Mapping[str, Any]], deletes: Sequence[str]) -> Task:
        return Task(0, 0, lambda: Changed(len(upserts) + len(deletes), receipt="r-1"))


class WordRanker:
    """Scores a document by the share of the query's words that it has."""

    name = "word-ranker"
    task = "rerank"

    def describe(self) -> dict[str, object]:
        return {"task": self.task}

    def prepare(self, texts: Sequence[str]) -> Task:
        return self.prepare_ranking(texts[0], texts, document_tokens_max=None)

    def prepare_ranking(
        self, query: str, documents: Sequence[str], *, document_tokens_max: int | None
    ) -> Task:
        words = set(query.split())
        cut = [text.split()[:document_tokens_max] for text in documents]

        def run() -> Ranked:
            return Ranked([len(words & set(text)) / len(words) for text in cut], {"rank": 1000})

        truncated = sum(
            len(text) < len(whole.split()) for text, whole in zip(cut, documents, strict=True)
        ) + sum(len(text) > 1000 for text in documents)
        return Task(len(words) + sum(map(len, cut)), truncated, run)

    def compute(self, work: Task, *, before_batch: Callable[[int], None] | None = None) -> Any:
        return work.run()
