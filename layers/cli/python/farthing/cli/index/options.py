"""What the index commands share: columns as they are typed, the embedder, JSON and tables."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farthing.cli.options import local_settings
from farthing.errors import BundleMissing, SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from farthing.inference.bundle import Bundle
    from farthing.inference.tasks import Embedder
    from farthing.search.manifest import Field, Filter, IndexManifest

NEEDED = ("pyarrow", "rich", "Stemmer", "tantivy", "simsimd")
Index = Annotated[
    str,
    typer.Argument(
        metavar="INDEX", help="Folder of the index, or s3://BUCKET/PREFIX, oss://BUCKET/PREFIX."
    ),
]


def fields(columns: list[str]) -> tuple[Field, ...]:
    """`title` and `title:2.5`. Raises `SettingsError` for a boost that is not above 0."""
    from farthing.search.manifest import Field

    found = []
    for column in columns:
        name, _, boost = column.rpartition(":")
        if not name or not _is_number(boost):
            found.append(Field(column))
        elif float(boost) > 0:
            found.append(Field(name, float(boost)))
        else:
            raise SettingsError(
                f"--text {column} has a boost that is not above 0. Give a larger one, or leave "
                "the column out."
            )
    return tuple(found)


def filters(columns: list[str]) -> tuple[Filter, ...]:
    """`brand`, `brand:keyword` and `price:number`."""
    from farthing.search.manifest import Filter

    found = []
    for column in columns:
        name, _, kind = column.rpartition(":")
        if name and kind == "number":
            found.append(Filter(name, "number"))
        else:
            found.append(Filter(name if name and kind == "keyword" else column))
    return tuple(found)


def embed_bundle(models: Path | None, name: str | None) -> Bundle:
    """The bundle of that name, else the first that embeds. Raises `BundleMissing`."""
    from farthing.inference.bundle import Bundle, find_bundles

    root = local_settings(models=models).models
    found = {manifest.name: path for path, manifest in find_bundles(root, "embed")}
    wanted = name or next(iter(sorted(found)), None)
    if wanted not in found:
        raise BundleMissing(
            f"{root} was asked for {wanted or 'an embedder'} and holds for the task embed "
            f"{', '.join(sorted(found)) or 'no bundle'}. Name another with --embedder, or another "
            "folder with --models."
        )
    return Bundle.open(found[wanted])


def embedder_of(index: IndexManifest, models: Path | None, threads: int) -> Embedder:
    """The embedder that the index was built with. Raises `BundleMissing` where it is not there."""
    from farthing.inference.bundle import Bundle, find_bundles
    from farthing.inference.tasks import Embedder

    root = local_settings(models=models).models
    for path, _ in find_bundles(root, "embed"):
        bundle = Bundle.open(path)
        if bundle.digest == index.embedder.digest:
            return Embedder(bundle, threads)
    raise BundleMissing(
        f"The index {index.name} was built with {index.embedder.name} "
        f"({index.embedder.digest[:12]}), which is not in {root}. Name its folder with --models, "
        "or build the index again."
    )


def megabytes(size_bytes: int) -> str:
    """A size for people, to about three digits."""
    return f"{size_bytes / 1e6:.3g} MB" if size_bytes < 1e8 else f"{size_bytes / 1e6:,.0f} MB"


def write_json(document: Any) -> None:
    """The document on stdout, structs included."""
    import msgspec

    encoded = msgspec.json.encode(document)
    sys.stdout.write(msgspec.json.format(encoded, indent=2).decode() + "\n")


def write_facts(title: str, facts: dict[str, object], *tables: object) -> None:
    """Names and values, one a line, then the tables."""
    from rich.console import Console

    from farthing.cli.tables import facts_table

    console = Console(highlight=False)
    for each in (facts_table(title, facts), *tables):
        console.print(each)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
