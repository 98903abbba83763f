"""How hits and reports look on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from farthing.cli.tables import names, numbers, table_of, texts

if TYPE_CHECKING:
    from rich.table import Table

    from farthing.indexing.evaluation.report import Means, Report
    from farthing.indexing.evaluation.significance import Difference

P_MAX = 0.05
# A score's place among all candidates stands beside it.
PLACE = "_rank"


def answer(found: dict[str, Any], *, explain: bool) -> None:
    """The hits with their documents, then what the search took and would cost.

    With `explain` also each hit's scores, and the time and price of each stage. A refusal is told
    on stderr.
    """
    if "results" not in found:
        Console(stderr=True, highlight=False).print(
            f"{found['title']}: {found['detail']}", markup=False
        )
        return
    console = Console(highlight=False)
    console.print(_hits(found["results"], explain=explain))
    if not found["results"]:
        console.print("No document has any of these words, or passes the filter.")
    charge, usage = found["charge"], found["usage"]
    if explain:
        console.print("#n is a hit's place among all candidates by that score.")
        console.print(_stages(charge))
    console.print(
        f"{found['index']}, version {found['version']}: {usage['prompt_tokens']} tokens, "
        f"{usage['busy_ms']:.2f} ms busy, {usage['billed_ms']} ms billed at "
        f"{usage['memory_mb']} MB, {charge['total']} USD; {charge['basis']}, price book "
        f"{charge['price_book']}"
    )


def _hits(hits: list[dict[str, Any]], *, explain: bool) -> Table:
    explained = [hit.get("explain") or {} for hit in hits] if explain else []
    said = dict.fromkeys(name for scores in explained for name in scores)
    scores = [name for name in said if not name.endswith(PLACE)]
    columns = list(dict.fromkeys(name for hit in hits for name in hit["document"]))
    table = table_of(*numbers("", "score", *scores), *texts(*columns))
    for rank, hit in enumerate(hits, 1):
        told = [_score(hit["explain"], name) for name in scores]
        cells = [Text(str(hit["document"].get(name, ""))) for name in columns]
        table.add_row(str(rank), f"{hit['score']:.3f}", *told, *cells)
    return table


def _score(explained: dict[str, float], name: str) -> str:
    """`12.5 #3`: the third best of all candidates by this score."""
    place = explained.get(name + PLACE)
    return f"{explained[name]:.3g}" + (f" #{place:.0f}" if place is not None else "")


def _stages(charge: dict[str, Any]) -> Table:
    table = table_of("stage", *numbers("ms", "amount (USD)"), show_footer=True)
    table.columns[0].footer = "total"
    table.columns[1].footer = f"{sum(stage['busy_ms'] for stage in charge['stages']):.3f}"
    table.columns[2].footer = charge["total"]
    for stage in charge["stages"]:
        table.add_row(stage["stage"], f"{stage['busy_ms']:.3f}", stage["amount"])
    return table


def report(found: Report) -> None:
    """A row for each group and way of answering, then times and what was left out."""
    console = Console(highlight=False)
    figures = numbers("nDCG@10", "MRR", "R@100", "gain", "95 %", "p")
    table = table_of(*names("queries", ""), *figures)
    for group, told in found.significance.items():
        words, default = found.bm25[group], found.default[group]
        table.add_row(f"{group} ({words.queries:,})", "bm25", *_scores(words))
        table.add_row("", "default", *_scores(default), *_gain(told))
    console.print(table)
    timing = found.timing
    stages = ", ".join(f"{stage} {ms:.2f}" for stage, ms in timing.stages_p50_ms.items())
    console.print(
        f"{found.index}, version {found.version}, {found.documents:,} documents. "
        f"A warm search for the top 10: p50 {timing.p50_ms:.2f} ms, p99 {timing.p99_ms:.2f} ms "
        f"over {len(timing.taken_ms):,} (medians: {stages})."
    )
    if found.unjudged:
        console.print(f"{found.unjudged:,} queries without a relevant document are left out.")


def _scores(means: Means) -> list[str]:
    return [f"{value:.4f}" for value in means.scores]


def _gain(told: Difference) -> list[str]:
    """The difference with its direction, its interval and its p; quiet where it may be chance."""
    mark, colour = ("▲", "green") if told.difference > 0 else ("▼", "red")
    if told.p > P_MAX:
        mark, colour = "≈", "default"
    return [
        f"[{colour}]{mark} {told.difference:+.4f}[/]",
        f"{told.low:+.3f}…{told.high:+.3f}",
        f"{told.p:.4f}",
    ]
