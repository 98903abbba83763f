"""A job's files: found, checked and cut into shards once, then read shard by shard anywhere."""

from __future__ import annotations

from farthing.batch.inputs.formats import name_of
from farthing.batch.inputs.planning import plan_shards
from farthing.batch.inputs.reading import Reader, read_rows
from farthing.batch.inputs.rows import Rejected, Rows
from farthing.batch.inputs.sources import find_inputs

__all__ = [
    "Reader",
    "Rejected",
    "Rows",
    "find_inputs",
    "name_of",
    "plan_shards",
    "read_rows",
]
