"""Judged searches: queries, the documents that answer them, and such as only look as if."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from farthing.forge.data.files import facts
from farthing.forge.data.paths import locate
from farthing.tables.chunk import DataInvalid
from farthing.tables.files import chunks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from farthing.forge.plans import RelevancePlan

QUERIES_MIN = 20
ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Search:
    """A query, the numbers of the documents that answer it and of such as only share its words."""

    query: str
    relevant: tuple[int, ...]
    misleading: tuple[int, ...]


@dataclass(frozen=True)
class Judged:
    """Documents, and searches to learn from and to choose by; no query is in both."""

    documents: tuple[str, ...]
    train: tuple[Search, ...]
    valid: tuple[Search, ...]


def files_of(plan: RelevancePlan) -> dict[str, str]:
    """The digests of the plan's files by name, for what is made of them."""
    named = (plan.documents, plan.queries, plan.qrels)
    return {name: facts(locate(name), name).sha256 for name in named}


def read_judged(plan: RelevancePlan) -> Judged:
    """The plan's files: documents in file order, and the queries that have a judged document.

    Queries of a split other than `train` are left out, so that they can tell the truth later.
    A tenth of the rest, by the digests of their texts, is to choose by.

    :raises DataMissing: if a file is not there.
    :raises DataInvalid: if fewer than 20 queries have a document that answers them.
    """
    columns = (plan.id, *plan.texts)
    rows = list(_rows(plan.documents, columns))
    numbers = {row[0]: number for number, row in enumerate(rows)}
    documents = tuple(" ".join(text for text in row[1:] if text) for row in rows)
    relevant: dict[str, list[int]] = {}
    for query, document, grade in _rows(plan.qrels, ("query_id", "doc_id", "grade")):
        if grade.strip() not in {"", "0"} and document in numbers:
            relevant.setdefault(query, []).append(numbers[document])
    asked = {
        name: text
        for name, text, split in _rows(plan.queries, ("query_id", "query", "split"))
        if split == "train" and name in relevant
    }
    if len(asked) < QUERIES_MIN:
        raise DataInvalid(
            f"{plan.queries} has {len(asked)} queries of the split train with a judged document; "
            f"learning which documents answer a query takes {QUERIES_MIN}. Judge more of them."
        )
    answers = [tuple(relevant[name]) for name in asked]
    misleading = _misleading(documents, list(asked.values()), answers, plan.negatives)
    searches = [
        Search(text, found, wrong)
        for text, found, wrong in zip(asked.values(), answers, misleading, strict=True)
    ]
    valid = [_is_held_out(search.query) for search in searches]
    return Judged(
        documents,
        tuple(one for one, out in zip(searches, valid, strict=True) if not out),
        tuple(one for one, out in zip(searches, valid, strict=True) if out),
    )


def _rows(name: str, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for chunk in chunks(locate(name), columns):
        filled = [[value or "" for value in column] for column in chunk.columns]
        yield from zip(*filled, strict=True)


def _is_held_out(query: str) -> bool:
    return hashlib.sha256(query.encode()).digest()[0] < 26


def _misleading(
    documents: Sequence[str],
    queries: Sequence[str],
    relevant: Sequence[tuple[int, ...]],
    count: int,
) -> list[tuple[int, ...]]:
    """For each query the documents that share most of its words and do not answer it."""
    words = re.compile(r"\w+").findall
    vectorizer = TfidfVectorizer(
        tokenizer=words, token_pattern=None, sublinear_tf=True, dtype=np.float32
    )
    held = vectorizer.fit_transform(documents).T.tocsc()
    asked = vectorizer.transform(queries)
    found: list[tuple[int, ...]] = []
    for start in range(0, len(queries), ROWS_AT_ONCE):
        scores = (asked[start : start + ROWS_AT_ONCE] @ held).tocsr()
        for row in range(scores.shape[0]):
            part = scores[row]
            best = part.indices[np.lexsort((part.indices, -part.data))]
            right = set(relevant[start + row])
            wrong = (int(number) for number in best if int(number) not in right)
            found.append(tuple(number for number, _ in zip(wrong, range(count), strict=False)))
    return found
