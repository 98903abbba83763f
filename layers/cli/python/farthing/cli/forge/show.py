"""What the forge's commands print: JSON alone on stdout, or tables."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from rich.console import RenderableType

# What the commands import beside the runtime; the message says how to get all of it.
NEEDED = ("torch", "transformers", "onnx", "sklearn", "scipy", "matplotlib", "pyarrow", "tomli_w")
DIGEST_CHARS = 12


def write_json(document: Any) -> None:
    """The document on stdout, structs and decimals included."""
    import msgspec

    encoded = msgspec.json.encode(document, enc_hook=str)
    sys.stdout.write(msgspec.json.format(encoded, indent=2).decode() + "\n")


def write_tables(*tables: RenderableType) -> None:
    """The tables on stdout."""
    from rich.console import Console

    console = Console(highlight=False)
    for table in tables:
        console.print(table)


def facts_table(title: str, facts: Mapping[str, object]) -> RenderableType:
    """Names and values, one a line."""
    from farthing.cli import tables

    return tables.facts_table(title, {name: _said(value) for name, value in facts.items()})


def columns_table(
    title: str, heads: Iterable[str], rows: Iterable[Iterable[object]]
) -> RenderableType:
    """A table whose first column is text and whose others are numbers."""
    from rich.markup import escape

    from farthing.cli.tables import numbers, table_of, texts

    first, *others = heads
    table = table_of(*texts(first), *numbers(*others), title=title)
    for row in rows:
        table.add_row(*(escape(_said(value)) for value in row))
    return table


def bundle_facts(folder: Path) -> dict[str, Any]:
    """What a finished bundle's manifest says, in short."""
    from farthing.inference.bundle import read_manifest

    digest, manifest = read_manifest(folder)
    return {
        "name": manifest.name,
        "bundle": str(folder),
        "digest": digest,
        "encoder": manifest.encoder,
        "bytes": sum(entry.bytes for entry in manifest.files.values()),
        **manifest.quantisation,
        **manifest.accuracy,
        "labels_changed": manifest.batch_drift.labels_changed,
        "min_drift_cosine": manifest.batch_drift.min_cosine,
    }


def _said(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
