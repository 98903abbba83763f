"""Answers as tables: what came out, what each stage took, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from farthing.cli.tables import numbers, table_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.table import Table

SHOWN_CHARS = 100


def show(answer: Any) -> None:
    """Prints an answer's JSON body for a person; a refusal goes to stderr, in a sentence."""
    if isinstance(answer, dict) and "title" in answer:
        console = Console(stderr=True, highlight=False)
        console.print(escape(f"{answer['title']}: {answer['detail']}"))
        return
    console = Console(highlight=False)
    console.print(_results(answer))
    if isinstance(answer, list):
        return  # TEI's shape, whose price is in headers
    charge, usage = answer["charge"], answer["usage"]
    if "stages" in charge:
        console.print(_stages(charge))
    console.print(_lines(charge))
    console.print(
        f"{usage['prompt_tokens']} tokens, {usage['busy_ms']:.2f} ms busy, "
        f"{usage['billed_ms']} ms billed at {usage['memory_mb']} MB; {charge['basis']}, "
        f"price book {charge['price_book']}"
    )


def _results(answer: Any) -> Table:
    if isinstance(answer, list):
        return _table(("index", "score"), ((one["index"], one["score"]) for one in answer))
    if "data" in answer:
        return _table(
            ("input", "vector"),
            ((one["index"], _vector(one["embedding"])) for one in answer["data"]),
        )
    results = answer.get("results", [])
    if results and isinstance(results[0], list):
        return _table(("input", "labels"), ((row, _labels(one)) for row, one in enumerate(results)))
    if results and "relevance_score" in results[0]:
        return _table(
            ("index", "score"), ((one["index"], f"{one['relevance_score']:.3f}") for one in results)
        )
    if "results" in answer:
        return _table(
            ("id", "score", "document"),
            ((one["id"], f"{one['score']:.3f}", _document(one["document"])) for one in results),
        )
    return _table(("accepted", "receipt", "version"), [_change(answer)])


def _table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> Table:
    table = table_of(*columns)
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    return table


def _labels(labels: list[dict[str, Any]]) -> str:
    return ", ".join(f"{item['label']} {item['score']:.3f}" for item in labels[:3])


def _vector(vector: str | list[float]) -> str:
    start = vector if isinstance(vector, str) else ", ".join(f"{x:.4f}" for x in vector[:4])
    return f"[{start[:60]}, …] ({len(vector)} values)"


def _document(document: dict[str, Any]) -> str:
    told = ", ".join(f"{name}: {value}" for name, value in document.items())
    return told if len(told) <= SHOWN_CHARS else told[: SHOWN_CHARS - 1] + "…"


def _change(answer: dict[str, Any]) -> tuple[object, ...]:
    return tuple(answer.get(name) for name in ("accepted", "receipt", "version"))


def _stages(charge: dict[str, Any]) -> Table:
    table = table_of("stage", *numbers("ms", "amount (USD)"))
    for stage in charge["stages"]:
        table.add_row(stage["stage"], f"{stage['busy_ms']:.3f}", stage["amount"])
    return table


def _lines(charge: dict[str, Any]) -> Table:
    table = table_of("rule", "quantity", "unit", "rate", "amount (USD)", show_footer=True)
    table.columns[3].footer = "total"
    table.columns[4].footer = charge["total"]
    for line in charge["lines"]:
        table.add_row(*(line[key] for key in ("rule", "quantity", "unit", "rate", "amount")))
    return table
