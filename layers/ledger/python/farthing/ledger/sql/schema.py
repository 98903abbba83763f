"""The ledger's tables. A change here is a revision in `farthing.ledger.migrations` too."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text

# The newest revision of the migrations: a database that says so needs none of them.
HEAD = "0001"
VERSION_TABLE = "farthing_version"

# Python and SQLite order text by code point; PostgreSQL does under this collation.
Name = Text().with_variant(Text(collation="C"), "postgresql")

metadata = MetaData()

# `body` is the canonical JSON that was signed; the columns beside it are for finding it.
entries = Table(
    "entries",
    metadata,
    Column("writer", Name, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("tenant", Name, nullable=False),
    Column("body", Text, nullable=False),
    Index("entries_by_time", "at_ms", "writer", "number"),
    Index("entries_by_tenant", "tenant", "at_ms", "writer", "number"),
)

records = Table(
    "records",
    metadata,
    Column("source", Name, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Index("records_by_time", "at_ms", "source"),
)

roots = Table(
    "roots",
    metadata,
    Column("tenant", Name, primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("body", Text, nullable=False),
)

marks = Table(
    "marks",
    metadata,
    Column("name", Name, primary_key=True),
    Column("value", Text, nullable=False),
)

tenants = Table(
    "tenants",
    metadata,
    Column("name", Name, primary_key=True),
    Column("body", Text, nullable=False),
)

counters = Table(
    "counters",
    metadata,
    Column("tenant", Name, primary_key=True),
    Column("window", Name, primary_key=True),
    Column("limit_pico", BigInteger, nullable=False),
    Column("free_pico", BigInteger, nullable=False),
    Column("leased_pico", BigInteger, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("id", Name, primary_key=True),
    Column("expires_ms", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Index("leases_by_expiry", "expires_ms", "id"),
)
