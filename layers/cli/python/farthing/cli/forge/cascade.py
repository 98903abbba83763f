"""`farthing forge cascade`: a cheap model first, the next one where it is not sure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from farthing.cli.forge.flags import (
    DEFAULT_MODELS,
    DEFAULT_RECEIPTS,
    ChoiceFlags,
    DataFlags,
    Receipts,
    RecipeName,
    takes,
)
from farthing.cli.forge.recipes import recipe_of
from farthing.cli.forge.show import NEEDED, columns_table, write_json, write_tables
from farthing.cli.options import AsJson, require_extra

Share = {"min": 0.0, "max": 1.0}


@takes
def cascade(
    *,
    recipe: RecipeName = None,
    stage: Annotated[
        list[Path],
        typer.Option(help="Folder of a bundle; repeat it, the cheapest first.", metavar="FOLDER"),
    ],
    called: Annotated[str, typer.Option(help="Name of the cascade.", metavar="NAME")],
    loss: Annotated[
        float, typer.Option(help="Accuracy that may be lost against the last stage.", **Share)
    ] = 0.002,
    confidence: Annotated[
        float, typer.Option(help="How surely no more is lost.", min=0.5, max=0.999)
    ] = 0.9,
    share: Annotated[
        float, typer.Option(help="Share of texts that the first stage must answer.", **Share)
    ] = 0.6,
    out: Annotated[Path, typer.Option(help="Folder of bundles.")] = DEFAULT_MODELS,
    receipts: Receipts = DEFAULT_RECEIPTS,
    data: DataFlags,
    choice: ChoiceFlags,
    as_json: AsJson = False,
) -> None:
    """Make a cascade: a cheap bundle answers what it is sure of, the next one what is left.

    How sure it must be is chosen on the validation rows, which no stage may have learnt from; the
    test rows tell what came of it. Exit 1 where the first stage is sure too seldom.

    Try: [b]farthing forge cascade retail-banking-intents --called bank --stage
    layers/models/retail-banking-words --stage layers/models/retail-banking-intents[/b]
    """
    require_extra("forge", NEEDED)
    wanted = recipe_of(recipe, data, choice)
    from farthing.forge.cascade.making import make, write_receipt
    from farthing.forge.cascade.table import HEADS, TERMINAL, cells
    from farthing.forge.cascade.thresholds import Aim
    from farthing.forge.data.splits import load

    aim = Aim(loss_max=loss, confidence=confidence, share_min=share)
    made = make(called, stage, wanted, load(wanted.data), out, aim)
    write_receipt(made, receipts / made.name)
    if as_json:
        write_json(made)
        return
    title = f"{made.name}: {made.rows:,} test rows of {made.data}, {made.platform}"
    heads, *rows = ([row[at] for at in TERMINAL] for row in (HEADS, *cells(made)))
    write_tables(columns_table(title, heads, rows))
