"""`farthing forge evaluate` and `contest`: what models are worth, and which to take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farthing.cli.forge.flags import (
    DEFAULT_CACHE,
    DEFAULT_RECEIPTS,
    Cache,
    ChoiceFlags,
    DataFlags,
    Floor,
    Receipts,
    RecipeName,
    Student,
    StudentFlags,
    TeacherFlags,
    WriteRecipe,
    takes,
)
from farthing.cli.forge.recipes import recipe_of
from farthing.cli.forge.show import NEEDED, facts_table, write_json, write_tables
from farthing.cli.options import AsJson, require_extra

if TYPE_CHECKING:
    from farthing.forge.contest.champion import Verdict
    from farthing.forge.contest.outcome import Outcome
    from farthing.forge.workshop import Workshop


@takes
def evaluate(
    *,
    recipe: RecipeName = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            help=r"Bundle to measure. \[default: the recipe's student, quantised]",
            show_default=False,
        ),
    ] = None,
    student: Student = "",
    threads: Annotated[int, typer.Option(min=1, help="Cores that one call may use.")] = 1,
    plots: Annotated[
        Path | None,
        typer.Option(help=r"Folder for plots, PNG and SVG. \[default: none]", show_default=False),
    ] = None,
    data: DataFlags,
    teacher: TeacherFlags,
    shape: StudentFlags,
    choice: ChoiceFlags,
    write_recipe: WriteRecipe = None,
    cache: Cache = DEFAULT_CACHE,
    as_json: AsJson = False,
) -> None:
    """Measure a bundle through the serving code: quality, batch drift, speed, start, dollars.

    A classifier is compared with its teacher, an embedder with its float32 original. RECIPE may
    also be the folder of a bundle whose name is that of a recipe that ships.

    Try: [b]farthing forge evaluate layers/models/product-classifier[/b]
    """
    require_extra("forge", NEEDED)
    from farthing.inference.bundle import MANIFEST_FILE, read_manifest

    if recipe and bundle is None and (Path(recipe) / MANIFEST_FILE).is_file():
        bundle, recipe = Path(recipe), None
    if recipe is None and bundle is not None and data.test is None:
        recipe = read_manifest(bundle)[1].name
    wanted = recipe_of(recipe, data, teacher, shape, choice, write_to=write_recipe)
    from farthing.forge.build import measure
    from farthing.forge.evaluate.table import report_table
    from farthing.forge.progress import bars
    from farthing.forge.workshop import Workshop

    with bars() as progress:
        workshop = Workshop(wanted, cache, progress)
        report = measure(workshop, bundle or workshop.bundle(student), threads=threads)
    if plots is not None:
        from farthing.forge.evaluate.plots import draw

        draw(report, plots)
    if as_json:
        write_json(report)
    else:
        write_tables(report_table(report))


@takes
def contest(
    *,
    recipe: RecipeName = None,
    floor: Floor = "",
    against: Annotated[
        Path | None,
        typer.Option(
            help="Bundle to beat: exit 1 unless the winner is better by the margin.",
            show_default=False,
        ),
    ] = None,
    receipts: Receipts = DEFAULT_RECEIPTS,
    data: DataFlags,
    teacher: TeacherFlags,
    shape: StudentFlags,
    choice: ChoiceFlags,
    write_recipe: WriteRecipe = None,
    cache: Cache = DEFAULT_CACHE,
    as_json: AsJson = False,
) -> None:
    """Measure every candidate, and name the cheapest that is accurate enough.

    Candidates are the better linear model, every student in every scheme, and the teacher, which
    cannot win. The validation rows decide; the test rows tell. Receipt, table and plot are
    written to a folder of the recipe's name. Exit 1 if nobody meets the floor.

    Try: [b]farthing forge contest product-classifier --floor 0.98-of-teacher --against
    layers/models/product-classifier[/b]
    """
    require_extra("forge", NEEDED)
    wanted = recipe_of(recipe, data, teacher, shape, choice, write_to=write_recipe)
    from farthing.forge.contest import receipt
    from farthing.forge.contest.table import outcome_table
    from farthing.forge.contestants import hold_contest
    from farthing.forge.progress import bars
    from farthing.forge.workshop import Workshop

    with bars() as progress:
        workshop = Workshop(wanted, cache, progress)
        outcome = hold_contest(workshop, floor)
        verdict = _against(workshop, outcome, against) if against else None
    receipt.write(outcome, receipts / wanted.name)
    if as_json:
        write_json({**receipt.receipt(outcome), "against": verdict})
    else:
        write_tables(outcome_table(outcome))
        if verdict is not None:
            write_tables(facts_table(f"Against {against}", _numbers(verdict)))
    outcome.require_winner()
    if verdict is not None:
        verdict.require()


def _against(workshop: Workshop, outcome: Outcome, champion: Path) -> Verdict | None:
    """The verdict on the winner; None where nobody won."""
    from farthing.forge.contest.duel import duel

    if outcome.winner is None:
        return None
    recipe = workshop.recipe
    return duel(
        champion,
        outcome.winner.candidate.bundle,
        workshop.splits.test,
        plan=recipe.contest,
        drift=recipe.drift,
        out_of_scope=recipe.data.out_of_scope,
    )


def _numbers(verdict: Verdict) -> dict[str, object]:
    return {
        "challenger wins": "yes" if verdict.wins else "no",
        "why": verdict.why,
        "accuracy, champion and challenger": f"{verdict.champion_accuracy:.4f}, "
        f"{verdict.challenger_accuracy:.4f}",
        "USD per million calls": f"{verdict.champion_usd_per_million:.4f}, "
        f"{verdict.challenger_usd_per_million:.4f}",
        "right alone": f"{verdict.champion_only_right}, {verdict.challenger_only_right} of "
        f"{verdict.rows} rows",
        "chance of that from equals": verdict.worse_p,
    }
