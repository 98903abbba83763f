"""The history of the ledger's schema, for Alembic; `farthing.ledger.sql.upgrade` runs it."""
