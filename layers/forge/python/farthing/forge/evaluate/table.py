"""A report as text: a table for people, with the unit beside every number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Group
from rich.markup import escape
from rich.table import Column, Table

from farthing.forge.evaluate.scores import worst_classes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.forge.evaluate.price import Bill
    from farthing.forge.evaluate.report import Report
    from farthing.forge.evaluate.scores import Scores

CLASSES_SHOWN = 5
DIGEST_CHARS = 12


def report_table(report: Report) -> Group:
    """Everything that was measured, the labels that did worst, and the warnings."""
    table = Table(
        "what", Column("measured", overflow="fold"), box=SIMPLE, title=escape(report.name)
    )
    for what, value in figures(report):
        table.add_row(what, escape(value))
    parts: list[Table | str] = [table]
    if report.scores is not None:
        parts.append(classes_table(report.scores))
    parts += [f"[bold yellow]![/] {escape(sentence)}" for sentence in report.warnings]
    return Group(*parts)


def figures(report: Report) -> Iterator[tuple[str, str]]:
    """Names with units, and values as people read them."""
    if report.scores is not None:
        yield from _score_figures(report.scores)
    if report.likeness is not None:
        like = report.likeness
        yield (
            f"cosine to the reference ({like.rows:,} texts)",
            f"{like.mean:.4f}, min {like.min:.4f}",
        )
    if report.drift is not None:
        found = report.drift
        yield (
            f"batch drift ({found.texts:,} texts, alone and in {found.batch})",
            f"{found.labels_changed} labels changed, min cosine {found.min_cosine:.6f}",
        )
    if report.unknown_token_share is not None:
        yield "unknown tokens", f"{report.unknown_token_share:.2%}"
    yield "size, MB", f"{report.bytes / 1e6:.2f}"
    yield "parameters, millions", f"{report.parameters / 1e6:.2f}"
    times = report.times
    yield (
        f"one text, ms: p50, p95 ({times.threads} thread{'s' if times.threads > 1 else ''})",
        f"{times.one_text_p50_ms:.3f}, {times.one_text_p95_ms:.3f}",
    )
    yield "a text among 32, ms", f"{times.batch_ms_per_text:.3f}"
    if report.start is not None:
        start = report.start
        parts = (
            f"interpreter {start.interpreter_ms:.0f}, imports {start.imports_ms:.0f}, "
            f"open {start.open_ms:.0f}, first answer {start.first_answer_ms:.0f}"
        )
        yield f"cold start, ms (median of {start.starts})", f"{start.cold_ms:.0f}: {parts}"
        yield "CPU time of a cold start, ms", f"{start.cpu_ms:.0f}"
        yield "peak memory, MB", f"{start.peak_rss_mb:.0f}"
    price = report.price
    yield (
        f"USD per million calls, warm ({price.platform} {price.memory_mb:,} MB, {price.region})",
        _bill(price.warm),
    )
    if price.cold is not None:
        yield "USD per million cold starts", _bill(price.cold)
    yield "price book", price.price_book
    yield "digest", report.digest[:DIGEST_CHARS]


def classes_table(scores: Scores) -> Table:
    """The labels that lost most recall against the teacher, or have the lowest recall."""
    worst = worst_classes(scores, CLASSES_SHOWN)
    table = Table(
        "label",
        *(
            Column(name, justify="right")
            for name in ("rows", "precision", "recall", "F1", "recall lost, points")
        ),
        box=SIMPLE,
        title=f"The {len(worst)} labels that did worst",
    )
    for entry in worst:
        lost = entry.recall_lost_points
        shares = (f"{share:.3f}" for share in (entry.precision, entry.recall, entry.f1))
        table.add_row(
            escape(entry.label),
            f"{entry.rows:,}",
            *shares,
            "-" if lost is None else f"{lost:+.1f}",
        )
    return table


def _score_figures(scores: Scores) -> Iterator[tuple[str, str]]:
    yield (
        f"accuracy ({scores.rows:,} rows), 95 % interval",
        f"{scores.accuracy:.4f}, {scores.accuracy_low:.4f} to {scores.accuracy_high:.4f}",
    )
    yield "macro F1", f"{scores.macro_f1:.4f}"
    if scores.out_of_scope_recall is not None:
        yield (
            f"out-of-scope recall ({scores.out_of_scope_rows:,} rows)",
            f"{scores.out_of_scope_recall:.4f}",
        )
    if scores.teacher_accuracy is not None and scores.teacher_agreement is not None:
        share = scores.teacher_share
        yield (
            "teacher's accuracy, ours ÷ it",
            f"{scores.teacher_accuracy:.4f}, {'-' if share is None else f'{share:.4f}'}",
        )
        yield "labels equal to the teacher's", f"{scores.teacher_agreement:.2%}"
    yield "expected calibration error", f"{scores.calibration_error:.2%}"


def _bill(bill: Bill) -> str:
    return (
        f"{bill.usd_per_million:.4f} = requests {bill.request_usd_per_million:.4f} + "
        f"compute {bill.compute_usd_per_million:.4f} ({bill.billed_ms:,.1f} ms billed)"
    )
