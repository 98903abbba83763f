"""`farthing search eval`: how good an index's answers are, and how fast they come."""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farthing.cli.options import AsJson, Models, local_settings, require_extra
from farthing.errors import SettingsError

if TYPE_CHECKING:
    from farthing.indexing.evaluation.queries import Query
    from farthing.indexing.evaluation.run import Told

Queries = Annotated[
    Path,
    typer.Option(
        help="Table with query_id, query and perhaps split: .tsv, .csv or .jsonl, also .gz.",
        exists=True,
        dir_okay=False,
    ),
]
Qrels = Annotated[
    Path,
    typer.Option(
        help="Table with query_id, doc_id and grade, or TREC's lines `query 0 document grade`; "
        "also .gz.",
        exists=True,
        dir_okay=False,
    ),
]
Split = Annotated[
    str | None,
    typer.Option(help=r"Only the queries of this split. \[default: all]", show_default=False),
]
Plot = Annotated[
    Path | None,
    typer.Option(
        help=r"Draw what each query gains, and the times, as .png or .svg. \[default: none]",
        show_default=False,
    ),
]
Run = Annotated[
    Path | None,
    typer.Option(
        "--run",
        help=r"Write the answers as a TREC run, for trec_eval. \[default: none]",
        show_default=False,
    ),
]


def evaluate(
    index: Annotated[str, typer.Option(help="Folder, address or name of the index.")],
    queries: Queries,
    qrels: Qrels,
    split: Split = None,
    plot: Plot = None,
    run_file: Run = None,
    models: Models = None,
    as_json: AsJson = False,
) -> None:
    """Judge an index: how it answers (default) against words alone (bm25).

    nDCG@10, MRR and recall@100 are means over the queries with a relevant document: over all, and
    over each kind, which is what stands before the first "-" of a query's id. The gain is in
    nDCG@10, with its 95 % interval; p is of the paired randomisation test. Times are of warm
    searches for the top 10, in this process, on one thread.

    Try: [b]farthing search eval --index DIR --queries queries.tsv --qrels qrels.tsv --plot
    gains.png[/b]
    """
    require_extra("indexing", ("pyarrow",))
    # Times are told of one thread, and NumPy's products would take every core. It reads this once,
    # when it is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from farthing.cli.index.steps import steps
    from farthing.cli.search import show
    from farthing.cli.search.opening import open_index
    from farthing.cli.search.plots import GainsPlot
    from farthing.indexing.evaluation.queries import read_qrels, read_queries
    from farthing.indexing.evaluation.run import evaluate as put_through

    # Whatever can be refused is refused before minutes of work.
    drawn = GainsPlot(plot) if plot else None
    asked = _of_split(read_queries(queries), split)
    judgements = read_qrels(qrels)
    with ExitStack() as stack:
        tell = _trec_run(stack, run_file) if run_file else None
        engine = open_index(local_settings(index=(index,), models=models, threads=1))
        stack.callback(engine.close)
        progress = stack.enter_context(steps())
        report = put_through(engine, asked, judgements, progress=progress, tell=tell)
    if drawn is not None:
        drawn.draw(report)
    if as_json:
        sys.stdout.write(json.dumps(report.as_json(), indent=2) + "\n")
    else:
        show.report(report)


def _of_split(queries: list[Query], split: str | None) -> list[Query]:
    chosen = [query for query in queries if split in {None, query.split}]
    if not chosen:
        known = ", ".join(sorted({query.split for query in queries} - {""})) or "none"
        raise SettingsError(
            f"--split names a split that no query is of; the splits of the file are: {known}. "
            "Name one of these, or leave --split out."
        )
    return chosen


def _trec_run(stack: ExitStack, file: Path) -> Told:
    from farthing.indexing.evaluation.trec import TrecRun

    try:
        opened = stack.enter_context(file.open("w", encoding="utf-8", newline="\n"))
    except OSError as error:
        raise SettingsError(
            f"The run cannot be written ({error.strerror}). Name another file with --run."
        ) from None
    return TrecRun(opened, "farthing").write
