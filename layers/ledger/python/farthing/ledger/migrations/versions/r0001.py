"""The first schema: entries, records, roots, marks; tenants, counters, leases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "entries",
        sa.Column("writer", NAME, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("tenant", NAME, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("entries_by_time", "entries", ["at_ms", "writer", "number"])
    op.create_index("entries_by_tenant", "entries", ["tenant", "at_ms", "writer", "number"])
    op.create_table(
        "records",
        sa.Column("source", NAME, primary_key=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("records_by_time", "records", ["at_ms", "source"])
    op.create_table(
        "roots",
        sa.Column("tenant", NAME, primary_key=True),
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "marks",
        sa.Column("name", NAME, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "tenants",
        sa.Column("name", NAME, primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "counters",
        sa.Column("tenant", NAME, primary_key=True),
        sa.Column("window", NAME, primary_key=True),
        sa.Column("limit_pico", sa.BigInteger, nullable=False),
        sa.Column("free_pico", sa.BigInteger, nullable=False),
        sa.Column("leased_pico", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "leases",
        sa.Column("id", NAME, primary_key=True),
        sa.Column("expires_ms", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("leases_by_expiry", "leases", ["expires_ms", "id"])


def downgrade() -> None:
    """An append-only ledger has no way back but its backup."""
    raise NotImplementedError
