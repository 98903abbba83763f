"""An index that answers: words find candidates, vectors too, and a ranker puts them in order."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
import numpy as np

from farthing.errors import InvalidRequest
from farthing.search.opening import (
    check_embedder,
    open_segments,
    read_local_manifest,
    read_ranking,
)
from farthing.search.ranking.features import Candidates, places
from farthing.search.recall import Recall, united
from farthing.search.segments import quantise

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from farthing.inference import tasks
    from farthing.inference.tasks import Embedder
    from farthing.search.filters import Where
    from farthing.search.manifest import IndexManifest
    from farthing.search.ranking import Ranking
    from farthing.search.ranking.words import Floats
    from farthing.search.recall import Asked, Rows
    from farthing.search.segments import Segment
    from farthing.search.segments.groups import Int8s

LEXICAL_ROWS = 100
TOP_K_MAX = 100
# What a ranker that wants none recalled by vector gets when words find nothing at all.
FALLBACK_ROWS = 50

Mode = Literal["default", "bm25"]
Tiers = Literal["auto", "hot", "all"]


class Hit(msgspec.Struct, frozen=True, omit_defaults=True):
    """A document found; `score` compares the hits of one search, and no others."""

    id: str
    score: float
    document: dict[str, Any]
    explain: dict[str, float] | None = None


class Found(NamedTuple):
    """The best hits, and what they took: nanoseconds of each stage that was run, tokens embedded.

    `candidates` were ranked; `version` is the index's.
    """

    hits: list[Hit]
    stages_ns: dict[str, int]
    candidates: int
    tokens: int
    truncated: int
    version: int


class Prepared(NamedTuple):
    """A query that was counted, and nothing more."""

    query: str
    encoded: tasks.Prepared

    @property
    def tokens(self) -> int:
        return self.encoded.tokens

    @property
    def truncated(self) -> int:
        return self.encoded.truncated


class Ranked(NamedTuple):
    """Candidates and the scores that order them; no vectors where words alone did."""

    rows: Rows
    scores: Floats
    bm25: Floats
    cosines: Floats | None


class Engine:
    """One version of an index, open for searching by any number of threads."""

    def __init__(
        self,
        manifest: IndexManifest,
        embedder: Embedder,
        segments: list[Segment],
        ranking: Ranking,
    ) -> None:
        self.manifest = manifest
        self.embedder = embedder
        self.ranking = ranking
        self.name = manifest.name
        self._recall = Recall(manifest, segments)

    @classmethod
    def open(
        cls, folder: Path, embedder: Embedder, *, verified: IndexManifest | None = None
    ) -> Engine:
        """The index in a local folder; cold segments take part where they are there.

        All is read and compared with its digests, but for a version that was `verified`.

        Raises `IndexMissing`, `IndexTooNew`, `IndexCorrupt` and `EmbedderMismatch`.
        """
        manifest = read_local_manifest(folder)
        check_embedder(manifest, embedder)
        segments = open_segments(folder, manifest, verified)
        return cls(manifest, embedder, segments, read_ranking(folder, manifest))

    def close(self) -> None:
        """Lets go of the files, once no search is under way."""
        self._recall = Recall(self.manifest, [])

    def prepare(self, query: str) -> Prepared:
        """The query's tokens; nothing is run. Raises `InvalidRequest` for a blank one."""
        _check_query(query)
        return Prepared(query, self.embedder.prepare([query]))

    def search(
        self,
        query: str | Prepared,
        *,
        top_k: int = 10,
        where: Where | None = None,
        mode: Mode = "default",
        explain: bool = False,
        tiers: Tiers = "auto",
    ) -> Found:
        """The best `top_k` hits; of equal ones those with the lower id.

        Mode `bm25` is the first stage alone: nothing is embedded, and a text is not even counted.
        `tiers` are those to ask; here all segments are at hand, and asked.

        Raises `InvalidRequest` for a blank query and a `top_k` beyond 1 to `TOP_K_MAX`.
        """
        if not 1 <= top_k <= TOP_K_MAX:
            raise InvalidRequest(f"top_k is out of range. Ask for 1 to {TOP_K_MAX} hits.")
        watch = Stopwatch()
        if mode == "bm25":
            text = query if isinstance(query, str) else query.query
            _check_query(text)
            tokens = truncated = 0
            ranked = self._by_words(text, where, watch)
        else:
            prepared = self.prepare(query) if isinstance(query, str) else query
            tokens, truncated = prepared.tokens, prepared.truncated
            ranked = self._by_all(prepared, where, watch)
        hits = self._fetch(ranked, top_k, explain=explain)
        watch.stop("fetch")
        candidates = len(ranked.scores)
        return Found(hits, watch.stages_ns, candidates, tokens, truncated, self.manifest.version)

    def candidates(self, query: str, vector: Int8s, dense_rows: int) -> tuple[Rows, Candidates]:
        """What a ranker would see of a query whose vector is int8[dims]; to teach one."""
        asked = self._recall.ask(query)
        rows = self._recall.by_words(asked, LEXICAL_ROWS, None)
        if dense_rows:
            rows = united(rows, self._recall.by_vector(vector, dense_rows, None))
        return rows, self._known(asked, rows, vector)

    def ids(self, rows: Rows) -> list[str]:
        """The ids of candidates."""
        return self._recall.ids(rows)

    def known(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids that are in the index."""
        return self._recall.known(ids)

    def _by_words(self, query: str, where: Where | None, watch: Stopwatch) -> Ranked:
        asked = self._recall.ask(query)
        rows = self._recall.by_words(asked, LEXICAL_ROWS, where)
        bm25 = self._recall.bm25(asked, self._recall.words(asked, rows))
        watch.stop("lexical")
        return Ranked(rows, bm25, bm25, None)

    def _by_all(self, prepared: Prepared, where: Where | None, watch: Stopwatch) -> Ranked:
        vector = quantise(self.embedder.compute(prepared.encoded))[0]
        watch.stop("embed")
        asked = self._recall.ask(prepared.query)
        rows = self._recall.by_words(asked, LEXICAL_ROWS, where)
        watch.stop("lexical")
        dense_rows = self.ranking.dense_rows or (0 if len(rows.rows) else FALLBACK_ROWS)
        if dense_rows:
            rows = united(rows, self._recall.by_vector(vector, dense_rows, where))
            watch.stop("dense")
        view = self._known(asked, rows, vector)
        scores = self.ranking.scores(view)
        watch.stop("rank")
        return Ranked(rows, scores, view.bm25, view.cosines)

    def _known(self, asked: Asked, rows: Rows, vector: Int8s) -> Candidates:
        words = self._recall.words(asked, rows)
        return Candidates(
            asked.facts,
            words,
            self._recall.bm25(asked, words),
            self._recall.cosines(vector, rows),
            self._recall.likeness(rows),
        )

    def _fetch(self, ranked: Ranked, top_k: int, *, explain: bool) -> list[Hit]:
        """The best, and with them for a moment all that equal the last of them."""
        scores = ranked.scores
        if len(scores) > top_k:
            last = np.partition(scores, -top_k)[-top_k]
            (chosen,) = (scores >= last).nonzero()
        else:
            chosen = np.arange(len(scores))
        rows = ranked.rows.chosen(chosen)
        explained = _explained(ranked, chosen) if explain else [None] * len(chosen)
        found = zip(
            self._recall.ids(rows),
            scores[chosen].tolist(),
            self._recall.documents(rows),
            explained,
            strict=True,
        )
        hits = [Hit(*facts) for facts in found]
        return sorted(hits, key=lambda hit: (-hit.score, hit.id))[:top_k]


class Stopwatch:
    """What each stage took, from the end of the one before it."""

    def __init__(self) -> None:
        self.stages_ns: dict[str, int] = {}
        self._since_ns = time.perf_counter_ns()

    def stop(self, stage: str) -> None:
        now_ns = time.perf_counter_ns()
        self.stages_ns[stage] = now_ns - self._since_ns
        self._since_ns = now_ns


def _explained(ranked: Ranked, chosen: Any) -> list[dict[str, float] | None]:
    """Each row's scores by words and by meaning, and its places by them, 1 for the best."""
    columns = {"bm25": ranked.bm25, "bm25_rank": places(ranked.bm25) + 1}
    if ranked.cosines is not None:
        columns |= {"cosine": ranked.cosines, "cosine_rank": places(ranked.cosines) + 1}
    values = [column[chosen].tolist() for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def _check_query(query: str) -> None:
    if not query or query.isspace():
        raise InvalidRequest("The query is blank. Give the words to search for.")
