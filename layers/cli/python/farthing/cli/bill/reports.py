"""How a settlement and a reconciliation are shown to a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    from rich.console import Console

    from farthing.cli.tables import numbers, table_of, texts
    from farthing.money import plain

    console = Console(highlight=False)
    if reader.entries or reader.records:
        console.print(f"Read {reader.entries} entries and {reader.records} records.")
    names = ("entries", "records", "matched", "measured $", "settled $", "drift")
    table = table_of(*texts("function"), *numbers(*names))
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
    from rich.console import Console

    from farthing.cli.tables import numbers, table_of, texts

    console = Console(highlight=False)
    sums = numbers("ours", "theirs", "ours $", "theirs $", "open $")
    table = table_of(*texts("function", "item"), *sums)
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
