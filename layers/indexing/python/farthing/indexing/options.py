"""What is to be built, and who hears how far it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Protocol

import msgspec

from farthing.search.analysis import Analyzer
from farthing.search.errors import CatalogueInvalid
from farthing.search.manifest import (
    FORMAT,
    Analysis,
    EmbedderFacts,
    Field,
    Filter,
    IndexManifest,
)
from farthing.search.segments.writer import SEGMENT_ROWS_MAX

if TYPE_CHECKING:
    from pathlib import Path

    from farthing.inference.bundle import Bundle

NAME_CHARS_MAX = 63


class Progress(Protocol):
    """Hears of every step forward: `done` of `total`, which may not be known yet."""

    def __call__(self, stage: str, done: int, total: int | None) -> object: ...


def silent(stage: str, done: int, total: int | None) -> None:
    """Tells nobody."""


class BuildOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Which columns mean what, and how they are read.

    `id` is the column that tells documents apart. Hits show it and the columns of `store`, or
    the searched and the filtered ones where none are named. `cut_long` cuts documents that have
    too much text instead of refusing the file; `overwrite` lets a new version replace an index.
    """

    id: str
    fields: tuple[Field, ...]
    filters: tuple[Filter, ...] = ()
    store: tuple[str, ...] = ()
    analysis: Analysis = Analysis()
    name: str = ""
    licence: str = ""
    cut_long: bool = False
    overwrite: bool = False
    workers: Annotated[int, msgspec.Meta(ge=1)] = 1
    segment_rows: Annotated[int, msgspec.Meta(ge=1, le=SEGMENT_ROWS_MAX)] = SEGMENT_ROWS_MAX


def draft(out: Path, bundle: Bundle, options: BuildOptions) -> IndexManifest:
    """The manifest of the index to be, still without documents.

    Raises `CatalogueInvalid` for options that no manifest can hold.
    """
    searched = [*(field.name for field in options.fields), *(each.name for each in options.filters)]
    shown = [options.id, *(options.store or searched)]
    manifest = IndexManifest(
        format=FORMAT,
        name=options.name or _name_of(out),
        version=1,
        created_at="",
        id_field=options.id,
        fields=options.fields,
        filters=options.filters,
        stored=tuple(dict.fromkeys(shown)),
        analysis=options.analysis,
        embedder=EmbedderFacts(
            name=bundle.manifest.name, digest=bundle.digest, dims=bundle.manifest.dims
        ),
        documents=0,
        terms_mean=tuple(0.0 for _ in options.fields),
        segments=(),
        licence=options.licence,
    )
    for kind, given in (("text", options.fields), ("filter", options.filters)):
        names = [each.name for each in given]
        if len(set(names)) < len(names):
            raise CatalogueInvalid(
                f"A column was named twice with --{kind}, so which one is meant is open. "
                "Name each column once."
            )
    Analyzer(options.analysis)  # which knows what languages there are
    try:
        return msgspec.convert(msgspec.to_builtins(manifest), IndexManifest)
    except msgspec.ValidationError as error:
        raise CatalogueInvalid(
            f"No index can be as it was asked for: {error}. Correct the options."
        ) from None


def _name_of(out: Path) -> str:
    plain = re.sub(r"[^a-z0-9._-]+", "-", out.resolve().name.lower()).lstrip("._-")
    return plain[:NAME_CHARS_MAX] or "index"
