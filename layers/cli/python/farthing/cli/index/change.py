"""`farthing index add`, `delete` and `compact`: changes to an index that is there."""

from __future__ import annotations

import os
import tempfile
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farthing.cli.index.options import (
    NEEDED,
    Index,
    embedder_of,
    write_facts,
    write_json,
)
from farthing.cli.index.steps import steps
from farthing.cli.options import AsJson, Models, require_extra
from farthing.errors import SettingsError

if TYPE_CHECKING:
    from farthing.search.manifest import IndexManifest

# Each lot is published by itself, and becomes a segment of its own.
LOT_ROWS = 50_000


def add(
    index: Index,
    file: Annotated[
        Path,
        typer.Argument(
            exists=True, dir_okay=False, help="Documents: .csv, .tsv, .jsonl (also .gz), .parquet."
        ),
    ],
    models: Models = None,
    as_json: AsJson = False,
) -> None:
    """Add a file's documents; one whose id the index has replaces that one.

    The file needs the columns that the index was built with (`farthing index info` names them).
    Searches go on meanwhile; 50,000 documents at a time become visible together.

    Try: [b]farthing index add shop new-products.csv[/b]
    """
    require_extra("indexing", NEEDED)
    from farthing.indexing.catalogue import Catalogue
    from farthing.search.publishing import read_manifest
    from farthing.search.updates import apply
    from farthing.search.upkeep import tend
    from farthing.storage import open_storage

    storage = open_storage(index)
    manifest = read_manifest(storage)
    embedder = embedder_of(manifest, models, os.cpu_count() or 1)
    catalogue = Catalogue(file, manifest)
    counts = {"added": 0, "replaced": 0}
    with steps() as progress, tempfile.TemporaryDirectory() as work:
        survey = catalogue.survey(lambda rows: progress("Reading", rows, None))
        upserts = catalogue.upserts()
        while lot := list(islice(upserts, LOT_ROWS)):
            applied = apply(storage, Path(work), embedder, lot)
            manifest = tend(storage, Path(work), applied.manifest)
            counts["added"] += applied.added
            counts["replaced"] += applied.replaced
            progress("Adding", sum(counts.values()), survey.documents)
    _tell(manifest, {**counts, "skipped": survey.skipped}, as_json=as_json)


def delete(
    index: Index,
    ids: Annotated[
        list[str] | None, typer.Argument(help="Ids of documents.", show_default=False)
    ] = None,
    ids_file: Annotated[
        Path | None,
        typer.Option(
            "--ids",
            exists=True,
            dir_okay=False,
            help="File with an id on each line.",
            show_default=False,
        ),
    ] = None,
    models: Models = None,
    as_json: AsJson = False,
) -> None:
    """Delete documents by id; ids that the index has not are counted, and do no harm.

    Try: [b]farthing index delete shop sku-17 sku-18[/b], or [b]--ids sold-out.txt[/b]
    """
    require_extra("indexing", NEEDED)
    from farthing.search.changes import Delete
    from farthing.search.publishing import read_manifest
    from farthing.search.updates import apply
    from farthing.search.upkeep import tend
    from farthing.storage import open_storage

    lines = ids_file.read_text(encoding="utf-8").splitlines() if ids_file else []
    wanted = [each.strip() for each in [*(ids or []), *lines] if each.strip()]
    if not wanted:
        raise SettingsError("No id was named to delete. Name some, or a file with --ids.")
    storage = open_storage(index)
    embedder = embedder_of(read_manifest(storage), models, 1)
    with tempfile.TemporaryDirectory() as work:
        applied = apply(storage, Path(work), embedder, [Delete(each) for each in wanted])
        manifest = tend(storage, Path(work), applied.manifest)
    counts = {"deleted": applied.deleted, "unknown": len(applied.unknown)}
    _tell(manifest, counts, as_json=as_json)


def compact(
    index: Index,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Merge every small segment, and drop every deleted row."),
    ] = False,
    keep_versions: Annotated[
        int, typer.Option(min=0, help="Older versions to keep, besides those of the last hour.")
    ] = 1,
    as_json: AsJson = False,
) -> None:
    """Merge small segments, drop deleted rows, and remove files that no version needs.

    Nothing is embedded again. Segments are merged when more than four are small, or a fifth of
    one's rows are deleted. Files are removed when nothing has needed them for an hour.

    Try: [b]farthing index compact shop[/b]
    """
    require_extra("indexing", NEEDED)
    from farthing.search.compaction import compact as compact_index
    from farthing.search.publishing import garbage_collect, read_manifest
    from farthing.storage import open_storage

    storage = open_storage(index)
    before = read_manifest(storage)
    with tempfile.TemporaryDirectory() as work:
        after = compact_index(storage, Path(work), everything=everything)
    removed = garbage_collect(storage, keep_versions=keep_versions)
    counts = {
        "segments_before": len(before.segments),
        "bytes_before": sum(entry.bytes for entry in before.segments),
        "files_removed": len(removed),
    }
    _tell(after, counts, as_json=as_json)


def _tell(manifest: IndexManifest, counts: dict[str, int], *, as_json: bool) -> None:
    facts: dict[str, object] = {
        **counts,
        "documents": manifest.documents,
        "segments": len(manifest.segments),
        "bytes": sum(entry.bytes for entry in manifest.segments),
        "version": manifest.version,
    }
    if as_json:
        write_json({"name": manifest.name, **facts})
        return
    shown = {name.replace("_", " "): value for name, value in facts.items()}
    write_facts(f"The index {manifest.name}", shown)
