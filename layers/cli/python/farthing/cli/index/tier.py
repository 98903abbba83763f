"""`farthing index tier`: which segments an index keeps at hand, and which may be cold."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from farthing.cli.index.options import NEEDED, Index, write_facts, write_json
from farthing.cli.options import AsJson, require_extra
from farthing.errors import SettingsError


def tier(
    index: Index,
    hot_segments: Annotated[
        int | None, typer.Option(min=1, help="Segments to keep hot.", show_default=False)
    ] = None,
    hot_mb: Annotated[
        float | None, typer.Option(min=0.0, help="Megabytes to keep hot.", show_default=False)
    ] = None,
    hits: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="How often each document was found: .jsonl or .tsv of ids and counts (also .gz).",
            show_default=False,
        ),
    ] = None,
    regroup: Annotated[
        bool, typer.Option("--regroup", help="Bring the documents of --hits together first.")
    ] = False,
    cold_mb: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Move cold segments beyond this into the bucket's archive.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Keep the segments found most hot; leave the others in the bucket until one is asked for.

    A function downloads hot segments when it starts, and a cold one when a search needs it.
    With --regroup, documents that were found share segments of their own; nothing is embedded
    again. What --cold-mb archives takes hours to come back: `farthing index restore`.

    Try: [b]farthing index tier s3://my-bucket/shop --hot-mb 60 --hits found.tsv --regroup[/b]
    """
    require_extra("indexing", NEEDED)
    from farthing.search.archive import cool
    from farthing.search.hits import read_hits
    from farthing.search.tiers import Room, retier
    from farthing.storage import open_storage

    if hot_segments is None and hot_mb is None:
        raise SettingsError(
            "Nothing says how much is to be hot. Give --hot-segments or --hot-mb, or both."
        )
    if regroup and hits is None:
        raise SettingsError("--regroup needs to know what was found. Give a file with --hits.")
    storage = open_storage(index)
    found = read_hits(hits) if hits else {}
    with tempfile.TemporaryDirectory() as work:
        room = Room(hot_segments, hot_mb)
        manifest = retier(storage, Path(work), room, found, regroup=regroup)
    archived = cool(storage, manifest, cold_mb) if cold_mb is not None else []
    hot = [entry for entry in manifest.segments if entry.tier == "hot"]
    documents = sum(entry.rows - entry.deleted for entry in hot)
    facts: dict[str, object] = {
        "hot_segments": len(hot),
        "hot_documents": documents,
        "hot_bytes": sum(entry.bytes for entry in hot),
        "cold_segments": len(manifest.segments) - len(hot),
        "cold_documents": manifest.documents - documents,
        "cold_bytes": sum(e.bytes for e in manifest.segments if e.tier == "cold"),
        "archived_segments": len(archived),
        "version": manifest.version,
    }
    if as_json:
        write_json({"name": manifest.name, **facts})
    else:
        shown = {name.replace("_", " "): value for name, value in facts.items()}
        write_facts(f"The index {manifest.name}", shown)
