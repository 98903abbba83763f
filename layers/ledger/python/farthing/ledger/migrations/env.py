"""What Alembic runs: the revisions, on the connection that it was handed."""

from __future__ import annotations

from alembic import context

from farthing.ledger.sql.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
