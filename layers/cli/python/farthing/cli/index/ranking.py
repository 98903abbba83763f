"""By what figures an index's ranking was chosen, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from farthing.search.manifest import IndexManifest


def ranking_tables(manifest: IndexManifest) -> Iterator[RenderableType]:
    """What the ranker's report says: plain facts in one table, figures by name in one each."""
    if manifest.ranking is None:
        return
    from rich.markup import escape

    from farthing.cli.tables import names, table_of, texts

    plain = table_of(*names("ranking"), *texts(""))
    grids = []
    for name, value in manifest.ranking.report.items():
        if isinstance(value, dict) and value and all(isinstance(v, dict) for v in value.values()):
            grids.append(_grid(name, value))
        else:
            plain.add_row(escape(_spaced(name)), escape(_said(value)))
    yield plain
    yield from grids


def _grid(name: str, rows: dict[str, dict[str, object]]) -> RenderableType:
    from rich.markup import escape

    from farthing.cli.tables import names, numbers, table_of

    heads = list(dict.fromkeys(head for row in rows.values() for head in row))
    table = table_of(*names(escape(_spaced(name))), *numbers(*map(escape, heads)))
    for row, figures in rows.items():
        table.add_row(escape(row), *(escape(_said(figures.get(head, ""))) for head in heads))
    return table


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _said(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_said(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_said, value))
    return str(value)
