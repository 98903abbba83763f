"""`farthing index export`: an index's vectors and documents into Chroma, Milvus or Pinecone."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from farthing.cli.index.options import Index, write_facts, write_json
from farthing.cli.index.steps import steps
from farthing.cli.options import AsJson, local_settings


def export(
    index: Index,
    to: Annotated[
        str,
        typer.Option(
            help="chroma:DIR, chroma+https://HOST:PORT/COLLECTION, milvus:FILE.db, "
            "milvus+https://HOST:PORT/COLLECTION, pinecone://INDEX-HOST or embedded:DIR.",
            show_default=False,
        ),
    ],
    resume: Annotated[
        bool, typer.Option("--resume", help="Leave documents as they are that the store has.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Copy an index's vectors and what its hits show into a vector store, where searches find them.

    Keys come from CHROMA_API_KEY, MILVUS_TOKEN and PINECONE_API_KEY. A document replaces the one
    with its id; those that the index has no more stay.

    Try: [b]farthing index export shop --to chroma:shop-vectors[/b]
    """
    from farthing.search.local_copy import materialise
    from farthing.search.publishing import read_manifest
    from farthing.search.stores import open_store
    from farthing.search.stores.exporting import export as export_to
    from farthing.search.stores.exporting import label_of
    from farthing.storage import LocalStorage

    cache = local_settings().index_cache
    folder = materialise(index, cache, tiers=("hot", "cold"))
    manifest = read_manifest(LocalStorage(folder))
    with closing(open_store(to, label_of(manifest))) as store, steps() as progress:
        done = export_to(
            folder,
            store,
            resume=resume,
            told=lambda count, total: progress("Exporting", count, total),
        )
        facts: dict[str, object] = {"to": store.url, **done._asdict(), "there now": store.count()}
    if as_json:
        write_json({"name": manifest.name, **facts})
    else:
        write_facts(f"Exported the index {manifest.name}", facts)
