"""Judged queries, read from users' files: what is asked, and which documents answer it.

Queries are tables with the columns query_id, query and perhaps split. Judgements are tables with
query_id, doc_id and grade, or TREC's lines `query 0 document grade`; their content tells which.
The names that the BEIR collections use are understood as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from farthing.indexing.evaluation.peek import first_line, pick_columns, text_lines
from farthing.tables.chunk import DataInvalid
from farthing.tables.files import chunks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farthing.tables.chunk import Chunk

Qrels = dict[str, dict[str, int]]

QUERY_IDS = ("query_id", "query-id", "qid", "_id", "id")
QUERIES = ("query", "text")
SPLITS = ("split",)
DOCUMENT_IDS = ("doc_id", "corpus-id", "docid", "document_id")
GRADES = ("grade", "score", "relevance")
TREC_FIELDS = 4


class Query(msgspec.Struct, frozen=True):
    """`split` is empty where the file has no such column."""

    id: str
    text: str
    split: str = ""

    @property
    def kind(self) -> str:
        """What stands before the first "-" of the id; empty where there is none."""
        prefix, dash, _ = self.id.partition("-")
        return prefix if dash else ""


class _Judgement(NamedTuple):
    row: int
    query: str | None
    document: str | None
    grade: str | None


def read_queries(path: Path) -> list[Query]:
    """The file's queries, in its order.

    :raises DataInvalid: for an empty id or query and for an id seen before, with their row, and
        for everything that the format refuses.
    """
    columns = pick_columns(path, (QUERY_IDS, QUERIES), optional=SPLITS)
    found: dict[str, Query] = {}
    for row, (query_id, text, *split) in _rows(chunks(path, columns)):
        if not query_id or not text or not text.strip():
            raise DataInvalid(
                f"{path.name} has a row {row} without {'a query' if query_id else 'an id'}. "
                "Fill it in, or leave the row out."
            )
        if query_id in found:
            raise DataInvalid(
                f"{path.name} has the same query id again in row {row}, so which query is judged "
                "is open. Keep one of them."
            )
        found[query_id] = Query(query_id, text, (split[0] or "") if split else "")
    if not found:
        raise DataInvalid(f"{path.name} was asked for queries and has none. Give at least one row.")
    return list(found.values())


def read_qrels(path: Path) -> Qrels:
    """The grade of each judged document of each query; above 0 is relevant.

    Grades below 0, by which TREC marks spam, count as 0.

    :raises DataInvalid: for a row that is none, a grade that is no whole number and a document
        with two grades for one query, with their row, and for everything that the format refuses.
    """
    found: Qrels = {}
    for row, query, document, stated in _trec(path) if _is_trec(path) else _table(path):
        grade = _grade(path, row, stated)
        if not query or not document:
            raise DataInvalid(
                f"{path.name} has a row {row} without a {'document' if query else 'query'} id. "
                "Fill it in, or leave the row out."
            )
        if found.setdefault(query, {}).setdefault(document, grade) != grade:
            raise DataInvalid(
                f"{path.name} gives one document two grades for the same query, the second in row "
                f"{row}. Keep one of them."
            )
    if not found:
        raise DataInvalid(f"{path.name} was asked for judgements and has none. Give some rows.")
    return found


def _table(path: Path) -> Iterator[_Judgement]:
    columns = pick_columns(path, (QUERY_IDS, DOCUMENT_IDS, GRADES))
    for row, (query, document, grade) in _rows(chunks(path, columns)):
        yield _Judgement(row, query, document, grade)


def _is_trec(path: Path) -> bool:
    fields = first_line(path).split()
    return len(fields) == TREC_FIELDS and _is_whole(fields[-1])


def _trec(path: Path) -> Iterator[_Judgement]:
    for row, line in text_lines(path):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != TREC_FIELDS:
            raise DataInvalid(
                f"{path.name} is read as TREC judgements, `query 0 document grade` on each line, "
                f"and row {row} has {len(fields)} fields. Correct that row."
            )
        yield _Judgement(row, fields[0], fields[2], fields[3])


def _grade(path: Path, row: int, stated: str | None) -> int:
    if stated is None or not _is_whole(stated):
        raise DataInvalid(
            f"{path.name} has a row {row} whose grade is no whole number. "
            "Write 1 for relevant, more for better, 0 for not relevant."
        )
    return max(0, int(stated))


def _is_whole(text: str) -> bool:
    digits = text.strip().removeprefix("-")
    # More digits than a grade has would be an id, or an attempt to keep us counting.
    return digits.isascii() and digits.isdecimal() and len(digits) <= 9


def _rows(pieces: Iterator[Chunk]) -> Iterator[tuple[int, tuple[str | None, ...]]]:
    for piece in pieces:
        yield from enumerate(zip(*piece.columns, strict=True), piece.first_row)
