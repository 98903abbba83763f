"""`farthing index copy`: an index's current version, from a folder to a bucket or back."""

from __future__ import annotations

from typing import Annotated

import typer

from farthing.cli.index.options import Index, write_facts, write_json
from farthing.cli.index.steps import steps
from farthing.cli.options import AsJson


def copy(
    index: Index,
    to: Annotated[
        str,
        typer.Argument(metavar="TO", help="Folder, s3://BUCKET/PREFIX or oss://BUCKET/PREFIX."),
    ],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Publish it as the next version of what is there.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Copy an index to another place, where it is published when all of its files are there.

    Files that are there already are not sent again, so a copy that was stopped goes on.

    Try: [b]farthing index copy shop 's3://my-bucket/shop?region=eu-central-1'[/b]
    """
    from farthing.search.copying import copy as copy_index
    from farthing.storage import open_storage

    target = open_storage(to)
    with steps() as progress:
        manifest = copy_index(
            open_storage(index),
            target,
            overwrite=overwrite,
            told=lambda done, total: progress("Copying", done, total),
        )
    facts = {
        "to": target.url,
        "version": manifest.version,
        "documents": manifest.documents,
        "segments": len(manifest.segments),
        "bytes": sum(entry.bytes for entry in manifest.segments),
    }
    if as_json:
        write_json({"name": manifest.name, **facts})
    else:
        write_facts(f"Copied the index {manifest.name}", facts)
