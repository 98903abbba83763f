"""`farthing forge teach`, `distil` and `quantise`: from rows to a small model, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.cli.forge.flags import (
    DEFAULT_CACHE,
    Cache,
    DataFlags,
    RecipeName,
    Student,
    StudentFlags,
    TeacherFlags,
    WriteRecipe,
    takes,
)
from farthing.cli.forge.recipes import recipe_of
from farthing.cli.forge.show import NEEDED, columns_table, facts_table, write_json, write_tables
from farthing.cli.options import AsJson, require_extra

if TYPE_CHECKING:
    from rich.console import RenderableType

    from farthing.forge.tuning import Epoch


@takes
def teach(
    *,
    recipe: RecipeName = None,
    data: DataFlags,
    teacher: TeacherFlags,
    write_recipe: WriteRecipe = None,
    cache: Cache = DEFAULT_CACHE,
    as_json: AsJson = False,
) -> None:
    """Let a large model learn the labels, and keep what it says of every text.

    The default teacher is all-mpnet-base-v2 (109 million parameters), frozen, under a linear
    head: its vectors are computed once and kept. Its accuracy on rows that its head has not seen
    is what every later step is measured by.

    Try: [b]farthing forge teach --train train.csv --test test.csv --text title --label category[/b]
    """
    require_extra("forge", NEEDED)
    wanted = recipe_of(recipe, data, teacher, write_to=write_recipe)
    from farthing.forge.progress import bars
    from farthing.forge.workshop import Workshop

    with bars() as progress:
        workshop = Workshop(wanted, cache, progress)
        taught, splits = workshop.teaching(), workshop.splits
    accuracy = {
        part: taught.accuracy(part, getattr(splits, part))
        for part in ("train", "valid", "test")
        if part in taught.logits
    }
    facts = {
        "name": taught.name,
        "digest": taught.digest,
        "parameters": taught.parameters,
        "f32_bytes": taught.f32_bytes,
        "labels": len(taught.labels),
    }
    if as_json:
        write_json(
            {"recipe": wanted.digest(), **facts, "accuracy": accuracy, "data": splits.report}
        )
        return
    rows = {f"accuracy on {part}": value for part, value in accuracy.items()}
    write_tables(facts_table(f"Teacher of {wanted.name}", {**facts, **rows}))


@takes
def distil(
    *,
    recipe: RecipeName = None,
    student: Student = "",
    data: DataFlags,
    teacher: TeacherFlags,
    shape: StudentFlags,
    write_recipe: WriteRecipe = None,
    cache: Cache = DEFAULT_CACHE,
    as_json: AsJson = False,
) -> None:
    """Train a student to say what the teacher says.

    A student begins with the first layers of MiniLM and the pieces of words that the texts use.
    Interrupted training goes on where it was; what is done is kept and not done again.

    Try: [b]farthing forge distil product-classifier --layers 3 --epochs 4[/b]
    """
    require_extra("forge", NEEDED)
    wanted = recipe_of(recipe, data, teacher, shape, write_to=write_recipe)
    from farthing.forge.progress import bars
    from farthing.forge.workshop import Workshop

    with bars() as progress:
        workshop = Workshop(wanted, cache, progress)
        checkpoint, history = workshop.student(student), workshop.history(student)
    name = wanted.student(student).name if wanted.students else wanted.name
    if as_json:
        write_json(
            {
                "recipe": wanted.digest(),
                "student": name,
                "checkpoint": str(checkpoint),
                "history": history,
            }
        )
        return
    facts = {"checkpoint": str(checkpoint)}
    if history.stopped:
        facts["stopped"] = history.stopped
    write_tables(facts_table(f"Student {name} of {wanted.name}", facts), _epochs(history.epochs))


@takes
def quantise(
    *,
    recipe: RecipeName = None,
    student: Student = "",
    data: DataFlags,
    teacher: TeacherFlags,
    shape: StudentFlags,
    write_recipe: WriteRecipe = None,
    cache: Cache = DEFAULT_CACHE,
    as_json: AsJson = False,
) -> None:
    """Turn a student's weights into INT8 and write its bundle into the cache, not yet measured.

    per-token answers a text the same alone and in a batch, and on every processor with 7 bits;
    the others are there to compare. What is missing before this step is made first.

    Try: [b]farthing forge quantise product-classifier --scheme block-wise --bits 8[/b]
    """
    require_extra("forge", NEEDED)
    wanted = recipe_of(recipe, data, teacher, shape, write_to=write_recipe)
    from farthing.forge.pack.inspection import inspect
    from farthing.forge.progress import bars
    from farthing.forge.workshop import Workshop

    with bars() as progress:
        workshop = Workshop(wanted, cache, progress)
        folder = workshop.bundle(student)
    seen = inspect(folder)
    facts = {
        "bundle": str(folder),
        "digest": seen.digest,
        **seen.manifest["quantisation"],
        "bytes": sum(entry["bytes"] for entry in seen.manifest["files"].values()),
        "parameters": seen.parameters,
    }
    if as_json:
        write_json({"recipe": wanted.digest(), **facts})
        return
    write_tables(facts_table(f"Quantised: {wanted.name}", facts))


def _epochs(epochs: tuple[Epoch, ...]) -> RenderableType:
    import msgspec

    rows = [msgspec.to_builtins(epoch) for epoch in epochs]
    heads = list(rows[0]) if rows else ["epoch"]
    return columns_table("Training", heads, (row.values() for row in rows))
