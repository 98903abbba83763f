"""`farthing index build`: a file of documents becomes an index."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farthing.cli.index.options import (
    NEEDED,
    embed_bundle,
    fields,
    filters,
    megabytes,
    write_facts,
    write_json,
)
from farthing.cli.index.steps import steps
from farthing.cli.options import AsJson, Models, require_extra
from farthing.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from farthing.indexing.build import Built
    from farthing.indexing.options import Progress
    from farthing.inference.bundle import Bundle
    from farthing.search.manifest import IndexManifest

LEARNING = "Learning to rank"


def build(
    file: Annotated[
        Path,
        typer.Argument(
            exists=True, dir_okay=False, help="Documents: .csv, .tsv, .jsonl (also .gz), .parquet."
        ),
    ],
    id_column: Annotated[
        str, typer.Option("--id", metavar="COLUMN", help="Column that tells documents apart.")
    ],
    text: Annotated[
        list[str],
        typer.Option(
            metavar="COLUMN[:BOOST]", help="Column to search in, repeatable; title:2 counts twice."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the index.")],
    filter_columns: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="COLUMN[:number]",
            help="Column that searches may be narrowed by, repeatable: brand, price:number.",
            show_default=False,
        ),
    ] = None,
    store: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Column that hits show beside the id, repeatable. "
            r"\[default: those of --text and --filter]",
            show_default=False,
        ),
    ] = None,
    train_queries: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Queries to learn ranking from: query_id, query, perhaps split.",
            rich_help_panel=LEARNING,
            show_default=False,
        ),
    ] = None,
    train_qrels: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Their judgements: query_id, doc_id, grade, or as TREC has them.",
            rich_help_panel=LEARNING,
            show_default=False,
        ),
    ] = None,
    language: Annotated[
        str, typer.Option(help="Whose word endings are cut: a Snowball language, or none.")
    ] = "english",
    embedder: Annotated[
        str | None,
        typer.Option(
            help=r"Bundle that makes the vectors. \[default: the first that embeds]",
            show_default=False,
        ),
    ] = None,
    models: Models = None,
    name: Annotated[
        str, typer.Option(help=r"The index's name. \[default: the folder's]", show_default=False)
    ] = "",
    licence: Annotated[
        str, typer.Option(help="The documents' licence, kept in the index.", show_default=False)
    ] = "",
    workers: Annotated[
        int | None,
        typer.Option(min=1, help=r"Cores that embed. \[default: all]", show_default=False),
    ] = None,
    cut_long: Annotated[
        bool, typer.Option("--cut-long", help="Cut documents above 1 MB of text, do not refuse.")
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace the index in --out; it answers until the new one is whole.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Build an index of a file's documents, to be searched by words and by meaning.

    The whole file is checked first: ids that come twice, numbers that are none and the like are
    told with their row. A build that was stopped, even killed, goes on when the same command is
    given again. Rows without any text are left out.

    With judged queries the index learns how to rank, and keeps the best way that is never worse
    than BM25; without, it ranks by conservative defaults.

    Try: [b]farthing index build products.csv --id sku --text title:2 --text description
    --filter brand --filter price:number --out shop[/b], then
    [b]farthing search query shop "red shoes" --filter 'price<60'[/b]
    """
    require_extra("indexing", NEEDED)
    from farthing.indexing.build import build as build_index
    from farthing.indexing.options import BuildOptions
    from farthing.search.manifest import Analysis

    bundle = embed_bundle(models, embedder)
    options = BuildOptions(
        id=id_column,
        fields=fields(text),
        filters=filters(filter_columns or []),
        store=tuple(store or ()),
        analysis=Analysis(language=language.lower()),
        name=name,
        licence=licence,
        cut_long=cut_long,
        overwrite=overwrite,
        workers=workers or os.cpu_count() or 1,
    )
    with steps() as progress:
        learning = _learning(out, bundle, train_queries, train_qrels, progress)
        built = build_index(file, out, bundle, options, progress, learning)
    if as_json:
        write_json(_summary(built))
    else:
        _show(built, out)


def _learning(
    out: Path, bundle: Bundle, queries: Path | None, qrels: Path | None, progress: Progress
) -> Callable[[IndexManifest], object]:
    """What teaches the index to rank, its queries read already; nothing where none are given.

    Raises `SettingsError` where one of both is missing.
    """
    if queries is None and qrels is None:
        return lambda manifest: None
    if queries is None or qrels is None:
        raise SettingsError(
            "Ranking is learned from queries and their judgements together. Give both "
            "--train-queries and --train-qrels, or neither."
        )
    from farthing.indexing.evaluation.queries import read_qrels, read_queries
    from farthing.indexing.training import train
    from farthing.inference.tasks import Embedder

    asked, judged = read_queries(queries), read_qrels(qrels)
    return lambda manifest: train(out, Embedder(bundle), asked, judged, progress)


def _summary(built: Built) -> dict[str, Any]:
    manifest = built.manifest
    return {
        "name": manifest.name,
        "version": manifest.version,
        "documents": manifest.documents,
        "skipped": built.skipped,
        "segments": len(manifest.segments),
        "bytes": sum(entry.bytes for entry in manifest.segments),
        "seconds": round(built.seconds, 3),
        "documents_per_s": round(built.embedded / built.seconds, 1),
        "resumed": built.resumed,
        "ranking": manifest.ranking.report if manifest.ranking else None,
    }


def _show(built: Built, out: Path) -> None:
    summary = _summary(built)
    facts: dict[str, object] = {
        "documents": built.manifest.documents,
        "segments": len(built.manifest.segments),
        "size": megabytes(summary["bytes"]),
        "took": f"{built.seconds:.1f} s, {summary['documents_per_s']:,.0f} documents a second",
        "embedder": built.manifest.embedder.name,
    }
    if built.skipped:
        facts["left out"] = f"{built.skipped:,} rows without any text"
    if built.resumed:
        facts["resumed"] = f"{built.manifest.documents - built.embedded:,} were there already"
    if not built.manifest.ranking:
        facts["ranking"] = "by defaults; it learns with --train-queries and --train-qrels"
    facts["search it"] = f'farthing search query {out} "…"'
    from farthing.cli.index.ranking import ranking_tables

    write_facts(
        f"Built the index {built.manifest.name}, version {built.manifest.version}",
        facts,
        *ranking_tables(built.manifest),
    )
