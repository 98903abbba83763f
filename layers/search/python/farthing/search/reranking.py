"""Ranks documents that a request brings along, by their words and by their meaning."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from farthing.inference.tasks import Prepared
from farthing.inference.tokenizer import Tokens
from farthing.search.analysis import Analyzer
from farthing.serving.ports import Ranked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from farthing.inference.tasks import Embedder
    from farthing.search.manifest import Analysis

K1, B = 1.2, 0.75
# Cosine's weight beside words'. Titles are told apart by their words, prose by its meaning: best
# at 50 candidates of two collections of abstracts and one of product titles.
PROSE_WEIGHT, TITLE_WEIGHT = 0.5, 0.2
PROSE_TERMS_MIN = 40


class Ranking(NamedTuple):
    """The query and the documents that are not blank, encoded; `rows` are those documents'."""

    query: str
    documents: Sequence[str]
    rows: list[int]
    encoded: Prepared

    @property
    def tokens(self) -> int:
        return self.encoded.tokens

    @property
    def truncated(self) -> int:
        return self.encoded.truncated


class DocumentRanker:
    """Scores of 0 to 1 that depend on the query and the documents of one request alone."""

    task = "rerank"

    def __init__(self, embedder: Embedder, analysis: Analysis) -> None:
        self.name = embedder.name
        self._embedder = embedder
        self._analyzer = Analyzer(analysis)

    def describe(self) -> dict[str, object]:
        """What a list of models says of the bundle behind it."""
        return self._embedder.describe() | {"task": self.task}

    def prepare(self, texts: Sequence[str]) -> Ranking:
        """A ranking of the texts by the first of them."""
        return self.prepare_ranking(texts[0], texts)

    def prepare_ranking(
        self, query: str, documents: Sequence[str], *, document_tokens_max: int | None = None
    ) -> Ranking:
        """The texts encoded; blank documents are left out, for which no model has anything.

        Documents are cut to the model's window, or to `document_tokens_max` where that is less.
        """
        rows = [row for row, text in enumerate(documents) if text and not text.isspace()]
        encoded = self._embedder.prepare([query, *(documents[row] for row in rows)])
        if document_tokens_max is not None:
            encoded = _cut(encoded, document_tokens_max)
        return Ranking(query, documents, rows, encoded)

    def compute(
        self, work: Ranking, *, before_batch: Callable[[int], None] | None = None
    ) -> Ranked:
        """A score for each document, 0 for a blank one."""
        started_ns = time.perf_counter_ns()
        vectors = self._embedder.compute(work.encoded, before_batch=before_batch)
        embedded_ns = time.perf_counter_ns()
        # A bundle may give vectors of any length; a cosine does not mind.
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        # Not by BLAS, whose threads would wait for each other on a share of a core.
        cosines = np.clip(np.einsum("ij,j->i", vectors[1:], vectors[0]), 0, 1)
        terms = [self._analyzer.terms(work.documents[row]) for row in work.rows]
        words = overlaps(self._analyzer.query_terms(work.query), terms)
        is_prose = sum(map(len, terms)) >= PROSE_TERMS_MIN * len(terms)
        weight = PROSE_WEIGHT if is_prose else TITLE_WEIGHT
        scores = np.zeros(len(work.documents))
        scores[work.rows] = (1 - weight) * words + weight * cosines
        ranked_ns = time.perf_counter_ns()
        stages_ns = {"embed": embedded_ns - started_ns, "rank": ranked_ns - embedded_ns}
        return Ranked(scores.tolist(), stages_ns)


def overlaps(query: Sequence[str], documents: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """How much of the query's words each document has, 0 to 1: BM25 over what a document that is
    nothing but the query's words, without end, would reach.

    Statistics are the documents' own. A rare word of few documents tells little of its rarity in
    the language, so weights are ln(1 + (N + 1) / (df + 0.5)), which are never near 0, and a word
    that none has counts against all alike.
    """
    if not query or not documents:
        return np.zeros(len(documents))
    counts = [Counter(terms) for terms in documents]
    frequencies = np.array([[count[term] for term in query] for count in counts], np.float64)
    lengths = np.array([len(terms) for terms in documents], np.float64)
    mean = max(lengths.mean(), 1.0)
    weights = np.log1p((len(documents) + 1) / ((frequencies > 0).sum(axis=0) + 0.5))
    norms = K1 * (1 - B + B * lengths / mean)
    saturated = frequencies / (frequencies + norms[:, np.newaxis])  # [documents, query terms]
    shares: NDArray[np.float64] = saturated @ weights / weights.sum()
    return shares


def _cut(encoded: Prepared, tokens_max: int) -> Prepared:
    """The documents cut to so many tokens, special ones included; the query stays whole."""
    # A bundle that embeds has a tokenizer; see `farthing.inference.bundle`.
    query, *documents = cast("Sequence[Tokens]", encoded.texts)
    texts = [query, *(_shortened(document, tokens_max) for document in documents)]
    tokens = sum(text.tokens for text in texts)
    return Prepared(texts, tokens, sum(text.was_truncated for text in texts))


def _shortened(text: Tokens, tokens_max: int) -> Tokens:
    """The text's first ids and the special one at its end; at least one of its own is left."""
    kept = max(2, tokens_max - 1)
    if len(text.ids) <= kept + 1:
        return text
    return Tokens([*text.ids[:kept], text.ids[-1]], was_truncated=True)
