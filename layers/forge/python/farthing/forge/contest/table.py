"""An outcome as a table, in the terminal and in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.console import Group
from rich.markup import escape
from rich.table import Column, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.forge.contest.candidates import Entry
    from farthing.forge.contest.outcome import Outcome

WORDS = 2
COLUMNS = (
    "candidate",
    "family",
    "accuracy",
    "÷ teacher",
    "valid",
    "p50 ms",
    "cold ms",
    "MB",
    "params M",
    "USD/M calls",
    "compute USD/M",
    "outcome",
)
# What a terminal has room for; the page has all.
TERMINAL = tuple(
    at
    for at, name in enumerate(COLUMNS)
    if name not in ("valid", "cold ms", "params M", "compute USD/M")
)


def outcome_table(outcome: Outcome) -> Group:
    """All candidates, the cheapest first, the rules and the words on the winner."""
    table = Table(
        *(Column(COLUMNS[at], **_style(at)) for at in TERMINAL), box=SIMPLE, pad_edge=False
    )
    for entry in by_price(outcome):
        cells = row(outcome, entry)
        style = "bold green" if entry is outcome.winner else None
        table.add_row(*(escape(cells[at]) for at in TERMINAL), style=style)
    return Group(table, escape(rules(outcome)), escape(outcome.why()))


def markdown(outcome: Outcome) -> str:
    """A page with the same rows, the plot's place and the machine."""
    align = ["---" if _is_text(at) else "---:" for at in range(len(COLUMNS))]
    lines = [list(COLUMNS), align, *(row(outcome, entry) for entry in by_price(outcome))]
    table = "\n".join(f"| {' | '.join(_cells(cells))} |" for cells in lines)
    machine = outcome.machine
    warnings = "".join(
        f"- {entry.name}: {sentence}\n"
        for entry in by_price(outcome)
        for sentence in entry.report.warnings
    )
    return (
        f"# Contest{_title(outcome)}\n\n{outcome.why()}\n\n{table}\n\n{rules(outcome)}\n\n"
        f"{warnings}{'' if not warnings else chr(10)}"
        f"Measured on {machine.cpu} ({machine.cores} cores; {', '.join(machine.flags) or '-'}), "
        f"ONNX Runtime {machine.onnxruntime}.\n\n"
        "![Accuracy against dollars per million calls](pareto.svg)\n"
    )


def row(outcome: Outcome, entry: Entry) -> list[str]:
    """The cells of one candidate, as in `COLUMNS`; "-" for what was not measured."""
    report, scores = entry.report, entry.report.scores
    share = None if scores is None else scores.teacher_share
    cold_ms = report.start.cold_ms if report.start else entry.candidate.cold_ms
    warm = report.price.warm
    return [
        entry.name,
        entry.family,
        f"{entry.accuracy:.4f}",
        "-" if share is None else f"{share:.4f}",
        f"{entry.valid.accuracy:.4f}",
        f"{report.times.one_text_p50_ms:.3f}",
        "-" if cold_ms is None else f"{cold_ms:.0f}",
        f"{report.bytes / 1e6:.2f}",
        f"{report.parameters / 1e6:.2f}",
        f"{warm.usd_per_million:.4f}",
        f"{warm.compute_usd_per_million:.4f}",
        outcome.fate(entry),
    ]


def rules(outcome: Outcome) -> str:
    """By what all was judged, in one paragraph."""
    price = outcome.entries[0].report.price
    scores = outcome.entries[0].report.scores
    rows = 0 if scores is None else scores.rows
    return (
        f"Floor {outcome.floor.asked}: accuracy {outcome.threshold:.4f} on "
        f"{outcome.entries[0].valid.rows:,} validation rows, which decide; accuracy is shown for "
        f"{rows:,} test rows. Dollars are those of a million warm calls of one text on "
        f"{price.platform} ({price.region}, {price.arch}, {price.asked_mb:,} MB or the next size "
        f"that fits) by the price book {price.price_book}."
    )


def by_price(outcome: Outcome) -> list[Entry]:
    """The entries from cheap to dear."""
    return sorted(outcome.entries, key=lambda entry: (entry.usd_per_million, entry.name))


def _style(at: int) -> dict[str, Any]:
    """Names may be folded, numbers never."""
    return {"overflow": "fold"} if _is_text(at) else {"justify": "right", "no_wrap": True}


def _is_text(at: int) -> bool:
    return at < WORDS or at == len(COLUMNS) - 1


def _cells(cells: list[str]) -> Iterator[str]:
    for cell in cells:
        yield cell.replace("|", "\\|")


def _title(outcome: Outcome) -> str:
    recipe = outcome.provenance.get("recipe")
    name = recipe.get("name") if isinstance(recipe, dict) else recipe
    return f" for {name}" if name else ""
