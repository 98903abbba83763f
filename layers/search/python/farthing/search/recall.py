"""Which rows of an index a query might mean, and what is known of them, in all its segments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from farthing.search.analysis import QUERY_TERMS_MAX, Analyzer
from farthing.search.ranking.words import (
    QueryTerms,
    bm25,
    find_words,
    inverse_frequency,
    neighbours,
)
from farthing.search.segments import Forward
from farthing.search.segments.forward import term_hashes
from farthing.search.segments.groups import dots, inverse_norms, quantise

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from farthing.search.filters import Where
    from farthing.search.manifest import IndexManifest
    from farthing.search.ranking.words import Floats, Integers, Words
    from farthing.search.segments import Segment

# Terms whose frequency is remembered; asking for it anew takes some microseconds each.
KNOWN_TERMS_MAX = 65_536


class Rows(NamedTuple):
    """n rows by their segment's place and their own number, int64[n] each, segments rising."""

    segments: Integers
    rows: Integers

    def chosen(self, which: NDArray[Any]) -> Rows:
        """Those that a mask or rising places choose."""
        return Rows(self.segments[which], self.rows[which])


class Asked(NamedTuple):
    """A query's distinct terms, and what the index knows of them."""

    terms: list[str]
    facts: QueryTerms


class Recall:
    """The segments of one version of an index as if they were one.

    Scores follow from the whole index's statistics, so that rows of different segments compare.
    """

    def __init__(self, manifest: IndexManifest, segments: Sequence[Segment]) -> None:
        self._manifest = manifest
        self._segments = segments
        self._analyzer = Analyzer(manifest.analysis)
        self._boosts = [field.boost for field in manifest.fields]
        self._known: dict[str, int] = {}

    def ask(self, query: str) -> Asked:
        """The query's words: of its distinct terms the first `QUERY_TERMS_MAX`."""
        said = self._analyzer.terms(query)
        terms = list(dict.fromkeys(said))[:QUERY_TERMS_MAX]
        place = {term: place for place, term in enumerate(terms)}
        places = [place[term] for term in said if term in place]
        repeats = np.array(places, dtype=np.int64)
        containing = np.array([self._containing(term) for term in terms], dtype=np.int64)
        facts = QueryTerms(
            hashes=term_hashes(terms),
            counts=np.bincount(repeats, minlength=len(terms)).astype(np.float32),
            idf=inverse_frequency(self._manifest.documents, containing),
            numbers=np.array([any(map(str.isdigit, term)) for term in terms], dtype=np.bool_),
            pairs=neighbours(places),
        )
        return Asked(terms, facts)

    def by_words(self, asked: Asked, limit: int, where: Where | None) -> Rows:
        """Up to `limit` rows with any of the terms: those that BM25 puts first."""
        found = [segment.recall_words(asked.terms, limit, where) for segment in self._segments]
        rows = _together(found)
        if len(rows.rows) <= limit:
            return rows
        return rows.chosen(_best(self.bm25(asked, self.words(asked, rows)), limit))

    def by_vector(self, query: NDArray[np.int8], limit: int, where: Where | None) -> Rows:
        """Up to `limit` rows whose vectors are nearest to int8[dims], whatever their words."""
        groups = [None] * len(self._segments) if where else self._groups(query)
        near = [
            segment.recall_near(query, limit, where and segment.mask(where), some)
            for segment, some in zip(self._segments, groups, strict=True)
        ]
        rows = _together(near)
        if len(rows.rows) <= limit:
            return rows
        parts = zip(self._segments, near, strict=True)
        cosines = [segment.cosines(query, some) for segment, some in parts]
        return rows.chosen(_best(np.concatenate(cosines), limit))

    def _groups(self, query: NDArray[np.int8]) -> Sequence[Integers | None]:
        """Which groups of each segment to look into.

        As many of all segments together as of one alone, the nearest ones: with each segment's own
        nearest a search would cost more with every segment, while it looks for as many rows. Of
        500,000 titles 97 of the nearest 100 were found so, instead of 99.
        """
        if len(self._segments) <= 1:
            return [None] * len(self._segments)
        towards = [segment.towards(query) for segment in self._segments]
        every = np.concatenate(towards)
        probes = [segment.probes for segment in self._segments]
        budget = max(probes)
        chosen = _best(every, budget)
        ends = np.cumsum([len(one) for one in towards])
        parts = np.split(chosen, np.searchsorted(chosen, ends[:-1]))
        return [part - start for part, start in zip(parts, [0, *ends[:-1]], strict=True)]

    def words(self, asked: Asked, rows: Rows) -> Words:
        """What the rows have of the query's words."""
        parts = [segment.forward(some) for segment, some in self._parts(rows)]
        return find_words(asked.facts, _joined(parts), len(self._boosts))

    def bm25(self, asked: Asked, words: Words) -> Floats:
        """float32[n], by the whole index's statistics and the fields' boosts."""
        return bm25(asked.facts, words, self._boosts, self._manifest.terms_mean)

    def cosines(self, query: NDArray[np.int8], rows: Rows) -> Floats:
        """float32[n] between int8[dims] and the rows."""
        none = np.empty(0, np.float32)
        parts = [segment.cosines(query, some) for segment, some in self._parts(rows)]
        return np.concatenate([none, *parts])

    def likeness(self, rows: Rows) -> Floats:
        """float32[n, n]: the cosines among the rows."""
        parts = list(self._parts(rows))
        if len(parts) == 1:
            ((segment, some),) = parts
            return segment.pairs(some)
        none = np.empty((0, self._manifest.embedder.dims), np.float32)
        vectors = quantise(np.concatenate([none, *(seg.vectors(some) for seg, some in parts)]))
        scale = inverse_norms(vectors)
        return dots(vectors, vectors) * scale[:, None] * scale

    def ids(self, rows: Rows) -> list[str]:
        return [key for segment, some in self._parts(rows) for key in segment.ids(some)]

    def documents(self, rows: Rows) -> list[dict[str, Any]]:
        return [shown for segment, some in self._parts(rows) for shown in segment.documents(some)]

    def known(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids that some live row has."""
        return {key for segment in self._segments for key in segment.rows_of(ids)}

    def _parts(self, rows: Rows) -> Iterator[tuple[Segment, Integers]]:
        begins = np.searchsorted(rows.segments, np.arange(len(self._segments) + 1))
        for place, segment in enumerate(self._segments):
            some = rows.rows[begins[place] : begins[place + 1]]
            if len(some):
                yield segment, some

    def _containing(self, term: str) -> int:
        """In how many documents the term is, by the field that has it in most."""
        known = self._known.get(term)
        if known is None:
            if len(self._known) >= KNOWN_TERMS_MAX:
                self._known.clear()
            known = self._known[term] = max(
                sum(int(segment.document_counts([term], field)[0]) for segment in self._segments)
                for field in range(len(self._boosts))
            )
        return known


def united(one: Rows, other: Rows) -> Rows:
    """The rows that are in either, in order, each once."""
    keys = np.union1d(one.segments << 32 | one.rows, other.segments << 32 | other.rows)
    return Rows(keys >> 32, keys & 0xFFFFFFFF)


def _together(found: Sequence[Integers]) -> Rows:
    segments = np.repeat(np.arange(len(found)), [len(rows) for rows in found])
    return Rows(segments, np.concatenate([np.empty(0, np.int64), *found]))


def _best(scores: Floats, limit: int) -> Integers:
    """The rising places of the best scores; earlier ones among equals."""
    return np.sort(np.argsort(-scores, kind="stable")[:limit])


def _joined(parts: Sequence[Forward]) -> Forward:
    if len(parts) == 1:
        return parts[0]
    ends = np.cumsum([0, *(len(part.terms) for part in parts)], dtype=np.int64)
    starts = [part.starts[:-1] + end for part, end in zip(parts, ends[:-1], strict=True)]
    return Forward(
        np.concatenate([np.empty(0, np.uint32), *(part.terms for part in parts)]),
        np.concatenate([*starts, ends[-1:]]),
        np.concatenate([np.empty(0, np.int64), *(part.lengths for part in parts)]),
    )
