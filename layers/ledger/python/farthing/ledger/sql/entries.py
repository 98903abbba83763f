"""What is only ever appended, in SQL: entries, records, roots; and the readers' marks."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from sqlalchemy import select, tuple_

from farthing.billing.ledger import Entry, Record, Root
from farthing.errors import LedgerError
from farthing.ledger.sql.schema import entries, marks, records, roots

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import Column, Select, Table

    from farthing.ledger.sql.database import Database

T = TypeVar("T")

ROWS_MAX: Final = 1_000


class SqlLedger:
    """One append is one transaction. Reads come in pages by key, each a short query of its own,
    so that a long one holds neither memory nor the database's past."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, group: Iterable[Entry], /) -> None:
        self._append(
            entries,
            (
                {
                    "writer": entry.writer,
                    "number": entry.number,
                    "at_ms": entry.at_ms,
                    "tenant": entry.tenant,
                    "body": _text(entry),
                }
                for entry in group
            ),
        )

    def entries(
        self, since_ms: int, until_ms: int, /, *, tenant: str | None = None
    ) -> Iterator[Entry]:
        table = entries.c
        query = select(entries).where(table.at_ms >= since_ms, table.at_ms < until_ms)
        if tenant is not None:
            query = query.where(table.tenant == tenant)
        return self._read(Entry, query, (table.at_ms, table.writer, table.number))

    def append_records(self, group: Iterable[Record], /) -> None:
        self._append(
            records,
            (
                {"source": record.source, "at_ms": record.at_ms, "body": _text(record)}
                for record in group
            ),
        )

    def records(self, since_ms: int, until_ms: int, /) -> Iterator[Record]:
        table = records.c
        query = select(records).where(table.at_ms >= since_ms, table.at_ms < until_ms)
        return self._read(Record, query, (table.at_ms, table.source))

    def append_root(self, root: Root, /) -> bool:
        row = {"tenant": root.tenant, "sequence": root.sequence, "body": _text(root)}
        statement = self._database.insert(roots).values(row).on_conflict_do_nothing()
        with self._database.writing() as connection:
            kept = connection.execute(statement.returning(roots.c.sequence)).all()
        return bool(kept)

    def roots(self, *, tenant: str | None = None) -> Iterator[Root]:
        query = select(roots)
        if tenant is not None:
            query = query.where(roots.c.tenant == tenant)
        return self._read(Root, query, (roots.c.tenant, roots.c.sequence))

    def mark(self, name: str, /) -> str:
        with self._database.reading() as connection:
            return connection.scalar(select(marks.c.value).where(marks.c.name == name)) or ""

    def set_mark(self, name: str, value: str, /) -> None:
        statement = self._database.insert(marks).values(name=name, value=value)
        statement = statement.on_conflict_do_update(
            index_elements=[marks.c.name], set_={"value": value}
        )
        with self._database.writing() as connection:
            connection.execute(statement)

    def _append(self, table: Table, rows: Iterator[dict[str, Any]]) -> None:
        statement = self._database.insert(table).on_conflict_do_nothing()
        group = list(islice(rows, ROWS_MAX))
        if not group:
            return
        keys = [column.name for column in table.primary_key]
        with self._database.writing() as connection:
            while group:
                # In one order everywhere, two processes that redeliver the same do not deadlock.
                group.sort(key=lambda row: [row[key] for key in keys])
                connection.execute(statement, group)
                group = list(islice(rows, ROWS_MAX))

    def _read(
        self, kind: type[T], query: Select[Any], order: tuple[Column[Any], ...]
    ) -> Iterator[T]:
        decoder = msgspec.json.Decoder(kind)
        query = query.order_by(*order).limit(ROWS_MAX)
        page = query
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(page).all()
            for row in rows:
                yield _decoded(decoder, row.body)
            if len(rows) < ROWS_MAX:
                return
            last = [getattr(rows[-1], column.name) for column in order]
            page = query.where(tuple_(*order) > tuple_(*last))


def _text(fact: Entry | Record | Root) -> str:
    return msgspec.json.encode(fact).decode()


def _decoded(decoder: msgspec.json.Decoder[T], body: str) -> T:
    try:
        return decoder.decode(body)
    except msgspec.DecodeError as error:
        raise LedgerError(
            f"A row of the ledger is not what was written: {error}. Compare it with a backup."
        ) from None
