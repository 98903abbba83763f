"""A quotation, as a person reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console

from farthing.cli.tables import numbers, table_of, texts
from farthing.planning.keeping import BUCKET, TIERS, saved

if TYPE_CHECKING:
    from rich.table import Table

    from farthing.planning.keeping import Keeping
    from farthing.planning.options import Option
    from farthing.planning.quote import Quote


def show(quotation: Quote, *, show_all: bool) -> None:
    """The cheapest option of each platform, or all; break-evens, and all that was assumed."""
    table = table_of(
        *texts("platform", "profile"), *numbers("MB", "USD a year", "calls", "p50 ms", "cold")
    )
    for option in quotation.options if show_all else _best_of_each(quotation.options):
        table.add_row(*_cells(option))
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{quotation.name}: {quotation.calls_month:,} calls a month, {quotation.region}, "
        f"price book {quotation.price_book}. USD of the first year, fully loaded; of it, the "
        "calls alone."
    )
    Console(highlight=False).print(table)
    if quotation.scenario is not None:
        cheapest = quotation.options[0]
        console.print(
            f"{quotation.scenario.title}.\n{quotation.scenario.published_says} "
            f"Here {cheapest.usd_year:,.2f} on {cheapest.platform} ({cheapest.profile}).\n"
        )
    for one in quotation.break_evens:
        console.print(one.sentence)
    for gb in dict.fromkeys(way.gb for way in quotation.keeping):
        ways = [way for way in quotation.keeping if way.gb == gb]
        console.print(f"\nKeeping an index of {float(gb):,.2f} GB:")
        Console(highlight=False).print(_keeping(ways))
        console.print(f"{TIERS.capitalize()} saves {saved(ways):.0%} of {BUCKET}.")
    console.print("\nAssumed:")
    for told in quotation.assumptions:
        console.print(f"- {told['says']} [dim]({told['source']})[/]")
    if show_all:
        console.print("\nLeft out:")
        for name, why in quotation.left_out:
            console.print(f"- {name}: {why}.")
    else:
        console.print(
            f"\nOf each platform the cheapest; --all shows {len(quotation.options)} options and "
            f"why {len(quotation.left_out)} were left out."
        )


def _keeping(ways: list[Keeping]) -> Table:
    table = table_of("way", *numbers("USD a year", "to bring it back once"))
    for way in ways:
        back = f"{way.usd_restore:,.4f}" if way.restore else "-"
        table.add_row(way.name, f"{way.usd_year:,.4f}", back)
    return table


def _best_of_each(options: tuple[Option, ...]) -> list[Option]:
    best: dict[str, Option] = {}
    for option in options:
        best.setdefault(option.platform, option)
    return list(best.values())


def _cells(option: Option) -> list[Any]:
    return [
        option.platform,
        option.profile,
        "-" if option.memory_mb is None else f"{option.memory_mb:,}",
        f"{option.usd_year:,.2f}",
        f"{option.marginal_usd_year:,.2f}",
        f"{option.millis[0]:,.1f}" if option.millis else "-",
        "-" if option.cold_share is None else f"{option.cold_share:.2%}",
    ]
