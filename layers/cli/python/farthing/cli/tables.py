"""Tables, as all commands show them: as little as possible between the figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Column, Table

if TYPE_CHECKING:
    from collections.abc import Mapping


def table_of(*columns: Column | str, **options: Any) -> Table:
    """A table without rows that has room for many columns in 80 characters; `options` are rich's.

    A `title` is escaped.
    """
    if "title" in options:
        options["title"] = escape(options["title"])
    return Table(
        *columns,
        box=SIMPLE,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        title_justify="left",
        title_style="bold",
        **options,
    )


def names(*heads: str) -> list[Column]:
    """Columns that are never broken, so that what they name can be copied."""
    return [Column(head, no_wrap=True) for head in heads]


def texts(*heads: str) -> list[Column]:
    """Columns that fold where room is short."""
    return [Column(head, overflow="fold") for head in heads]


def numbers(*heads: str) -> list[Column]:
    """Columns whose cells are figures."""
    return [Column(head, justify="right", no_wrap=True) for head in heads]


def facts_table(title: str, facts: Mapping[str, object]) -> Table:
    """Names and values, one a line."""
    table = table_of(*names("what"), *texts("value"), title=title, show_header=False)
    for name, value in facts.items():
        table.add_row(escape(name), escape(f"{value:,}" if type(value) is int else str(value)))
    return table
