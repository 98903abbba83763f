"""The receipt of a contest: what took part, by which digests, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from farthing.forge.contest.pareto import pareto_figure
from farthing.forge.contest.table import by_price, markdown
from farthing.forge.evaluate.figures import save, styled
from farthing.forge.evaluate.scores import worst_classes
from farthing.forge.storage import room_for

if TYPE_CHECKING:
    from pathlib import Path

    from farthing.forge.contest.candidates import Entry
    from farthing.forge.contest.outcome import Outcome
    from farthing.forge.evaluate.scores import Scores

FORMAT = 1
DIGITS = 6
CLASSES_SHOWN = 5
MARKDOWN_FILE, RECEIPT_FILE, PLOT_NAME = "table.md", "receipt.json", "pareto"


def write(outcome: Outcome, folder: Path) -> tuple[Path, ...]:
    """The paths of receipt.json, table.md, pareto.png and pareto.svg, written into `folder`."""
    with room_for(folder):
        folder.mkdir(parents=True, exist_ok=True)
    receipt_file, table_file = folder / RECEIPT_FILE, folder / MARKDOWN_FILE
    encoded = msgspec.json.format(msgspec.json.encode(receipt(outcome)), indent=2)
    receipt_file.write_bytes(encoded + b"\n")
    table_file.write_text(markdown(outcome), encoding="utf-8")
    with styled():
        plots = save(pareto_figure(outcome), folder, PLOT_NAME)
    return (receipt_file, table_file, *plots)


def receipt(outcome: Outcome) -> dict[str, Any]:
    """The outcome in plain values; keys always in this order, floats with six digits.

    Single times and answers are left out: a receipt is read, not computed with.
    """
    winner = outcome.winner
    return {
        "format": FORMAT,
        **outcome.provenance,
        "floor": {
            "asked": outcome.floor.asked,
            "accuracy_valid": _plain(outcome.threshold),
            "accuracy_test": _plain(outcome.threshold_test),
        },
        "winner": None
        if winner is None
        else {
            "name": winner.name,
            "family": winner.family,
            "digest": winner.report.digest,
            "against_teacher": _against_teacher(outcome, winner),
        },
        "why": outcome.why(),
        "candidates": [_candidate(outcome, entry) for entry in by_price(outcome)],
        "machine": msgspec.to_builtins(outcome.machine),
        "price_book": outcome.entries[0].report.price.price_book,
    }


def _candidate(outcome: Outcome, entry: Entry) -> dict[str, Any]:
    report = entry.report
    plain = msgspec.to_builtins(report)
    del plain["times"]["one_text_ns"]
    for repeated in ("name", "digest", "scores", "likeness"):
        del plain[repeated]
    found: dict[str, Any] = _plain(
        {
            "name": entry.name,
            "family": entry.family,
            "digest": report.digest,
            "outcome": outcome.fate(entry),
            "valid": _scores(entry.valid),
            "test": None if report.scores is None else _scores(report.scores),
            **plain,
        }
    )
    return found


def _scores(scores: Scores) -> dict[str, Any]:
    """The numbers, and of the labels only those that did worst."""
    plain: dict[str, Any] = msgspec.to_builtins(scores)
    for long in ("classes", "reliability", "right"):
        del plain[long]
    worst = worst_classes(scores, CLASSES_SHOWN)
    return {**plain, "worst_classes": msgspec.to_builtins(worst)}


def _against_teacher(outcome: Outcome, winner: Entry) -> dict[str, Any] | None:
    """How the winner compares with the teacher: shares of it, and how many times quicker."""
    teacher = outcome.teacher
    if teacher is None:
        return None
    ours, theirs = winner.report, teacher.report
    saved = 1 - ours.price.warm.compute_usd_per_million / theirs.price.warm.compute_usd_per_million
    found: dict[str, Any] = _plain(
        {
            "accuracy_share": winner.accuracy / teacher.accuracy if teacher.accuracy else None,
            "bytes_share": ours.bytes / theirs.bytes,
            "parameters_share": ours.parameters / theirs.parameters,
            "times_quicker": theirs.times.one_text_p50_ms / ours.times.one_text_p50_ms,
            "saved_share": float(1 - winner.usd_per_million / teacher.usd_per_million),
            "saved_share_above_request_fee": float(saved),
        }
    )
    return found


def _plain(value: Any) -> Any:
    """The value with its floats at six significant digits."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value
