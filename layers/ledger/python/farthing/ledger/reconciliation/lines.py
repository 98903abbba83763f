"""A line of a provider's bill, in the words of the comparison."""

from __future__ import annotations

import csv
import gzip
import zlib
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

GZIP_MAGIC = b"\x1f\x8b"
NUMBER_MAX = Decimal(10) ** 15


class ExportUnusable(LedgerError):
    """A provider's export is not one, or lacks what the comparison needs."""


class BillLine(msgspec.Struct, frozen=True, kw_only=True):
    """`item` is what is billed, without the region's prefix; `kind` is `usage`, or what else moves
    the total: a credit, a discount, tax. `began` and `ended` are as the export writes them.
    """

    id: str
    product: str
    function: str
    item: str
    kind: str
    quantity: Decimal
    usd: Decimal
    began: str
    ended: str
    tags: dict[str, str]


def read_columns(path: Path) -> list[str]:
    """The names of a CSV file's columns. Raises `ExportUnusable`."""
    with _opened(path) as reader:
        return [name for name in reader.fieldnames or () if name]


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a CSV file, plain or gzip, by their columns' names. Raises `ExportUnusable`."""
    with _opened(path) as reader:
        yield from reader


@contextmanager
def _opened(path: Path) -> Iterator[csv.DictReader[str]]:
    try:
        with path.open("rb") as raw:
            is_gzip = raw.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        opened = gzip.open if is_gzip else open
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            yield csv.DictReader(file)
    except (EOFError, zlib.error, UnicodeDecodeError, csv.Error):
        raise ExportUnusable(
            f"{path.name} is cut off or no CSV file. Download the export again."
        ) from None
    except OSError as error:
        raise ExportUnusable(
            f"{path.name} cannot be read: {error.strerror or 'it is damaged'}."
        ) from None


def require_columns(path: Path, columns: Collection[str], needed: Collection[str]) -> None:
    """Raises `ExportUnusable` naming the columns that are missing."""
    missing = [name for name in needed if name not in columns]
    if missing:
        raise ExportUnusable(
            f"{path.name} has no column {', '.join(missing)}. Export it with these columns."
        )


def number(value: object, place: str) -> Decimal:
    """A quantity or an amount, exactly as written; nothing counts as 0.

    Raises `ExportUnusable` saying where what is no number stands.
    """
    text = "" if value is None else str(value).strip()
    try:
        found = Decimal(text or 0)
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite() or abs(found) > NUMBER_MAX:
        raise ExportUnusable(f"{place} is no number. Export the file again.")
    return found
