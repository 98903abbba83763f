"""`farthing quote`: what it will cost, everywhere, before it runs."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farthing.cli.options import AsJson, require_extra

if TYPE_CHECKING:
    from farthing.planning.traffic import Traffic
    from farthing.planning.work import Scenario, Work

MONTHS_PER_YEAR, DAYS_PER_YEAR = 12, 365
DEFAULT_BUNDLE = "product-classifier"
DEFAULT_INIT_MS, DEFAULT_PEAK_MB, DEFAULT_TOKENS = 250.0, 128, 16


def quote(
    scenario: Annotated[
        str | None,
        typer.Option(help="A use whose price was published: shop, notes.", show_default=False),
    ] = None,
    calls_per_day: Annotated[
        float | None, typer.Option(help="Calls a day, on an assumed week.", show_default=False)
    ] = None,
    calls_per_month: Annotated[
        float | None, typer.Option(help="Calls a month, likewise.", show_default=False)
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(
            help="CSV or JSON lines with a timestamp for each call; duration_ms, tokens and "
            "request_id are read too.",
            show_default=False,
        ),
    ] = None,
    bundle: Annotated[
        str | None,
        typer.Option(
            help="Bundle whose measured times are taken: a shipped one's name, or with --measure "
            r"any. \[default: product-classifier]",
            show_default=False,
        ),
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Time the bundle on this machine first.")
    ] = False,
    p50_ms: Annotated[
        float | None,
        typer.Option(help="What a call computes on one full vCPU, in ms.", show_default=False),
    ] = None,
    cold_ms: Annotated[
        float | None, typer.Option(help="What a start takes, in ms.", show_default=False)
    ] = None,
    peak_mb: Annotated[
        int | None, typer.Option(help="What the process needs, in MB.", show_default=False)
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(help="Tokens of a call's text.", show_default=False)
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads that one call uses.", show_default=False)
    ] = None,
    tuned: Annotated[
        Path | None,
        typer.Option(
            help="What `farthing tune --json` wrote: its times at each memory size are taken.",
            show_default=False,
        ),
    ] = None,
    region: Annotated[str, typer.Option(help="AWS region whose prices apply.")] = "us-east-1",
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw cost over calls a day: FILE.png or FILE.svg.", show_default=False),
    ] = None,
    show_all: Annotated[
        bool, typer.Option("--all", help="Show every option, and what was left out.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what calls would cost on every platform, cheapest first, from a count or a trace.

    Cold starts and waiting are simulated call by call. Fully loaded prices have all that stands
    without calls; marginal ones are the calls alone. What cannot be priced is named, not guessed.

    Try: [b]farthing quote --scenario shop[/b], [b]farthing quote --calls-per-day 10000[/b]
    """
    from farthing.billing.prices import read_price_book
    from farthing.cli.quotations import show
    from farthing.planning.assumptions import read_assumptions
    from farthing.planning.quote import quote as make_quote
    from farthing.planning.work import scenario as known_scenario

    if plot is not None:
        require_extra("reports", ("matplotlib",))
    chosen = known_scenario(scenario) if scenario is not None else None
    traffic = _traffic(chosen, calls_per_day, calls_per_month, trace)
    stated = {
        "busy_ms": p50_ms,
        "init_ms": cold_ms,
        "peak_mb": peak_mb,
        "tokens": tokens,
        "threads": threads,
    }
    work = _work(chosen, bundle, measure, tuned, stated)
    quotation = make_quote(
        work, traffic, read_price_book(planning=True), read_assumptions(), region, chosen
    )
    if plot is not None:
        from farthing.cli.plots import draw_quote

        draw_quote(quotation, plot)
    if as_json:
        sys.stdout.write(json.dumps(quotation.as_json(), indent=2) + "\n")
    else:
        show(quotation, show_all=show_all)


def _traffic(
    scenario: Scenario | None, per_day: float | None, per_month: float | None, trace: Path | None
) -> Traffic:
    """The traffic that was asked for in one of four ways. Raises `PlanningError`."""
    from farthing.planning.errors import PlanningError
    from farthing.planning.trace import read_trace
    from farthing.planning.traffic import traffic_of

    ways = [way for way in (per_day, per_month, trace) if way is not None]
    if len(ways) > 1 or not (ways or scenario):
        raise PlanningError(
            "A quotation is of one traffic. Give one of --calls-per-day, --calls-per-month and "
            "--trace, or a --scenario."
        )
    if trace is not None:
        return read_trace(trace)
    if per_month is not None:
        calls = per_month
    else:
        a_day = per_day if per_day is not None else scenario.calls_per_day if scenario else 0
        calls = a_day * DAYS_PER_YEAR / MONTHS_PER_YEAR
    # What is no number or has no end is refused as a count out of range.
    return traffic_of(round(calls) if math.isfinite(calls) else 0)


def _work(
    scenario: Scenario | None,
    bundle: str | None,
    measure: bool,
    tuned: Path | None,
    stated: dict[str, float | None],
) -> Work:
    """Stated figures beat measured ones. Raises `PlanningError` for figures not of this world."""
    import msgspec

    from farthing.planning.errors import PlanningError
    from farthing.planning.work import Work, known_work

    given = {name: value for name, value in stated.items() if value is not None}
    if measure or tuned is not None:
        from farthing.cli.tuning.profiles import measured_work, tuned_work

        base = tuned_work(tuned) if tuned is not None else measured_work(bundle or DEFAULT_BUNDLE)
    elif scenario is not None and bundle is None:
        base = scenario.work
    elif "busy_ms" in given and bundle is None:
        base = Work(
            name="stated",
            task="classify",
            busy_ms=1.0,
            init_ms=DEFAULT_INIT_MS,
            peak_mb=DEFAULT_PEAK_MB,
            tokens=DEFAULT_TOKENS,
            source="stated, or the command's defaults",
        )
    else:
        base = known_work(bundle or DEFAULT_BUNDLE)
    if not given:
        return base
    source = f"{base.source}; stated: {', '.join(sorted(given))}"
    fields = {**msgspec.structs.asdict(base), **given, "source": source, "curve_ms": {}}
    try:
        if any(not math.isfinite(value) for value in given.values()):
            raise msgspec.ValidationError("Expected a finite number")
        return msgspec.convert(fields, Work)
    except msgspec.ValidationError as error:
        raise PlanningError(
            f"What a call takes is not usable: {error}. Times are above 0 and at most 900,000 ms, "
            "memory, tokens and threads whole numbers from 1."
        ) from None
