"""A provider's export, whichever provider's it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.ledger.reconciliation import alibaba, cur
from farthing.ledger.reconciliation.lines import read_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from farthing.ledger.reconciliation.lines import BillLine


def read_exports(paths: Iterable[Path]) -> Iterator[BillLine]:
    """The lines of all files, each told by its columns to be AWS's or Alibaba's.

    Raises `ExportUnusable`.
    """
    for path in paths:
        if not cur.is_parquet(path) and alibaba.is_export(read_columns(path)):
            yield from alibaba.read_export(path)
        else:
            yield from cur.read_export(path)
