"""Which words of a query the rows have, and what that makes by BM25.

Nothing here loops over rows: a search has about a millisecond for all of its ranking.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from farthing.search.segments import Forward

    Floats = NDArray[np.float32]
    Hashes = NDArray[np.uint32]
    Integers = NDArray[np.int64]

K1 = 1.2
B = 0.75


class QueryTerms(NamedTuple):
    """A query's q distinct terms in the order of their first use.

    `hashes` uint32[q]; `counts` float32[q], how often the query says each; `idf` float32[q];
    `numbers` bool[q], true for terms with a digit; `pairs` int64[p, 2], which terms follow each
    other, by index.
    """

    hashes: Hashes
    counts: Floats
    idf: Floats
    numbers: NDArray[np.bool_]
    pairs: Integers


class Words(NamedTuple):
    """The terms of n rows, and what they have of a query's q.

    `hashes` uint32[t], row by row; `starts` int64[n + 1], where each row begins in them;
    `lengths` float32[n, fields], in terms; `counts` float32[n, fields, q]; `pairs` float32[n],
    how many of the query's pairs of neighbours are neighbours in the row.
    """

    hashes: Hashes
    starts: Integers
    lengths: Floats
    counts: Floats
    pairs: Floats


def inverse_frequency(documents: int, containing: Integers) -> Floats:
    """ln(1 + (N - n + 0.5) / (n + 0.5)), Lucene's idf: above 0 however common a term is."""
    rest = np.maximum(documents - containing, 0)
    return np.log1p((rest + 0.5) / (containing + 0.5)).astype(np.float32)


def neighbours(terms: Sequence[int]) -> Integers:
    """The distinct pairs of unequal neighbours in a sequence of term indices, int64[p, 2]."""
    both = pairwise(terms)
    pairs = list(dict.fromkeys(pair for pair in both if pair[0] != pair[1]))
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def find_words(query: QueryTerms, rows: Forward, fields: int) -> Words:
    """Where the query's terms occur in the rows, whose true lengths may exceed what they keep."""
    terms = len(query.hashes)
    lengths = rows.lengths.reshape(-1, fields).astype(np.float32)
    places, term = _occurrences(query.hashes, rows.terms)
    cell = np.searchsorted(rows.starts, places, side="right") - 1
    counts = np.bincount(cell * terms + term, minlength=lengths.size * terms)
    return Words(
        hashes=rows.terms,
        starts=rows.starts[::fields],
        lengths=lengths,
        counts=counts.reshape(len(lengths), fields, terms).astype(np.float32),
        pairs=_pairs(query, places, term, cell, lengths),
    )


def _occurrences(wanted: Hashes, hashes: Hashes) -> tuple[Integers, Integers]:
    """Where any wanted hash stands, and which one it is.

    A table over sixteen bits leaves few places to compare, in one pass for all terms.
    """
    table = np.zeros(1 << 16, dtype=np.bool_)
    table[wanted.astype(np.uint16)] = True
    places = np.flatnonzero(table[hashes.astype(np.uint16)])
    found = hashes[places]
    order = np.argsort(wanted)
    term = order[np.minimum(np.searchsorted(wanted[order], found), len(wanted) - 1)]
    same = wanted[term] == found
    return places[same], term[same]


def _pairs(
    query: QueryTerms, places: Integers, term: Integers, cell: Integers, lengths: Floats
) -> Floats:
    rows, fields = lengths.shape
    number = np.full((len(query.hashes), len(query.hashes)), -1, dtype=np.int64)
    number[query.pairs[:, 0], query.pairs[:, 1]] = np.arange(len(query.pairs))
    pair = number[term[:-1], term[1:]]
    adjacent = (np.diff(places) == 1) & (np.diff(cell) == 0) & (pair >= 0)
    seen = np.zeros((rows, len(query.pairs)), dtype=np.bool_)
    seen[cell[:-1][adjacent] // fields, pair[adjacent]] = True
    total: Floats = seen.sum(axis=1, dtype=np.float32)
    return total


def bm25(
    query: QueryTerms, words: Words, boosts: Sequence[float], lengths_mean: Sequence[float]
) -> Floats:
    """Each row's BM25F (k1 1.2, b 0.75), float32[n]; with one field that is BM25.

    A term's counts in the fields are added, each multiplied by its boost and made less by a field
    longer than the mean, before they saturate (Robertson, Zaragoza and Taylor, 2004): a word in
    title and text is one word that is there twice. `lengths_mean` is over all documents, so that
    rows of different segments compare.
    """
    mean = np.maximum(np.asarray(lengths_mean, dtype=np.float32), 1e-6)
    share = np.asarray(boosts, dtype=np.float32) / (1 - B + B * words.lengths / mean)
    counts = np.einsum("nfq,nf->nq", words.counts, share)
    return times(counts / (counts + np.float32(K1)), query.idf * query.counts * np.float32(K1 + 1))


def times(matrix: Floats, vector: Floats) -> Floats:
    """float32[n], the product of float32[n, k] and float32[k], on one core.

    numpy's `@` may wake threads for it, which takes longer than the work, and milliseconds where
    other work keeps the cores busy.
    """
    product: Floats = np.einsum("nk,k->n", matrix, vector)
    return product
