"""How a settlement and a reconciliation are shown to a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Column

    from farthing.billing.meter import Line
    from farthing.ledger.reconciliation.compare import Comparison
    from farthing.ledger.settlement.reading import Reader
    from farthing.ledger.settlement.settle import Settlement

PERCENT_PPM = 10_000


def month_lines(found: Settlement) -> tuple[Line, ...]:
    """What only the month knows: free and volume tiers."""
    from farthing.billing.month import provider_bill

    sums = found.sums()
    return provider_bill(sums, in_cents=False).differences if sums else ()


def show_settlement(found: Settlement, reader: Reader) -> None:
    """A row for each function, what is booked to the house, and what a person should look at."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Column, Table

    from farthing.money import plain

    console = Console(highlight=False)
    if reader.entries or reader.records:
        console.print(f"Read {reader.entries} entries and {reader.records} records.")
    names = ("entries", "records", "matched", "measured $", "settled $", "drift")
    columns = [Column(name, justify="right", no_wrap=True) for name in names]
    table = Table(_named("function"), *columns, box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    for one in found.functions:
        table.add_row(
            one.function,
            str(one.entries),
            str(one.records),
            f"{one.matched_ppm / PERCENT_PPM:.1f} %",
            f"{one.measured:.7f}",
            f"{one.settled:.7f}",
            f"{one.drift_ppm / PERCENT_PPM:+.2f} %",
        )
    console.print(table)
    for line in (*found.house, *month_lines(found)):
        console.print(f"house  {line.rule}: {plain(line.amount)} USD")
    for one in found.functions:
        drift = ", ".join(
            f"{name} {ppm / PERCENT_PPM:.2f} %" for name, ppm in one.call_drift_ppm.items()
        )
        if drift:
            beside = f"{one.overhead_us} µs beside the handler"
            console.print(f"calls  {one.function}: billed time off by {drift}; {beside}")
        for flag in one.flags:
            console.print(f"note   {one.function}: {flag}", markup=False)


def show_comparison(found: Comparison) -> None:
    """A row for each function and item (`open` is unexplained), why they differ, and the rest."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Column, Table

    console = Console(highlight=False)
    names = ("ours", "theirs", "ours $", "theirs $", "open $")
    columns = [Column(name, justify="right", no_wrap=True) for name in names]
    heads = _named("function"), _named("item")
    table = Table(*heads, *columns, box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    for row in found.rows:
        table.add_row(
            row.function or "-",
            row.item,
            f"{row.ours:.3f}",
            f"{row.theirs:.3f}",
            f"{row.ours_usd:.4f}",
            f"{row.theirs_usd:.4f}",
            f"{row.unexplained_usd:+.4f}",
        )
    console.print(table)
    for row in found.rows:
        reasons = [f"{usd:.6f} by {reason}" for reason, usd in row.explained.items()]
        for text in (*reasons, *row.notes):
            console.print(f"{row.function or '-'}, {row.item}: {text}", markup=False)
    for kind, usd in found.adjustments.items():
        console.print(f"{kind}: {usd:.6f} USD, no usage", markup=False)
    for function, usd in found.foreign.items():
        console.print(f"not ours: {function}, {usd:.6f} USD, without the tag", markup=False)


def _named(head: str) -> Column:
    from rich.table import Column

    return Column(head, overflow="fold")
