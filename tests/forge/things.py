"""Two kinds of things to tell apart, small enough to learn in a second."""

from __future__ import annotations

from typing import Any

from farthing.forge.data.labelled import LabelledSet
from farthing.forge.data.splits import Splits
from farthing.forge.plans import Source
from farthing.forge.recipe import DataFiles, Recipe


def things(per_colour: int, colours: tuple[str, ...]) -> LabelledSet:
    """Fridges and phones of these colours, numbered from 0."""
    return LabelledSet(
        texts=tuple(
            f"{colour} {thing} {number}"
            for thing in ("fridge", "phone")
            for colour in colours
            for number in range(per_colour)
        ),
        labels=("Fridges",) * per_colour * len(colours) + ("Phones",) * per_colour * len(colours),
    )


def splits_of(rows: LabelledSet) -> Splits:
    """The same rows to learn from, to choose by and to test with."""
    return Splits(rows, rows, rows, (), report=None)  # type: ignore[arg-type]


def recipe_of_things(**changes: Any) -> Recipe:
    """A recipe whose files nobody reads."""
    return Recipe(
        name="things",
        task="classify",
        pooling="none",
        normalize=False,
        max_tokens=16,
        licence="",
        licence_file="",
        origin="",
        notice="",
        data=DataFiles(name="things", test="t", train="t", text="text", label="label"),
        source=Source(path="unused"),
        **changes,
    )
