"""Options of the forge in groups: what a recipe would say, said on the command line.

A command takes a group as one parameter; `takes` spells it out for typer. None is "not given": a
recipe, or the default, then decides.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer


class TeacherMethod(StrEnum):
    FROZEN = "frozen"
    FINE_TUNED = "fine-tuned"
    CLASSIFIER = "classifier"
    LINEAR = "linear"


class Scheme(StrEnum):
    NONE = "none"
    PER_TOKEN = "per-token"  # noqa: S105 - a piece of text, no secret
    DYNAMIC = "dynamic"
    STATIC = "static"
    BLOCK_WISE = "block-wise"


def _option(panel: str, help_text: str, **more: Any) -> Any:
    return typer.Option(help=help_text, rich_help_panel=panel, show_default=False, **more)


def _file(help_text: str) -> Any:
    return _option(DATA, help_text, metavar="FILE")


def _column(help_text: str) -> Any:
    return _option(DATA, help_text, metavar="COLUMN")


DATA, TEACHER, STUDENT, CHOICE = "Data", "Teacher", "Student", "Choice"


@dataclass(frozen=True)
class DataFlags:
    """The rows: CSV, TSV, JSON lines or Parquet, text also as .gz."""

    train: Annotated[
        str | None,
        _file("Labelled rows to learn from: .csv, .tsv, .jsonl (also .gz) or .parquet."),
    ] = None
    valid: Annotated[
        str | None, _file(r"Rows to choose by. \[default: a tenth of --train, held out]")
    ] = None
    test: Annotated[str | None, _file("Rows that have no say and tell the truth.")] = None
    unlabelled: Annotated[str | None, _file("More texts, which only the teacher labels.")] = None
    text: Annotated[str | None, _column("Column of the texts.")] = None
    label: Annotated[str | None, _column("Column of the labels.")] = None
    out_of_scope: Annotated[
        str | None, _option(DATA, "Label of texts that belong to none; its recall is told apart.")
    ] = None
    valid_share: Annotated[
        float | None, _option(DATA, "Share of --train to hold out without --valid.")
    ] = None
    rows: Annotated[int | None, _option(DATA, "Test rows at most; 0 is all.", min=0)] = None
    train_rows_max: Annotated[
        int | None, _option(DATA, "Training rows at most; 0 is all.", min=0)
    ] = None
    name: Annotated[str | None, _option(DATA, "Name of the bundle.")] = None


@dataclass(frozen=True)
class TeacherFlags:
    """Who labels softly."""

    teacher: Annotated[
        TeacherMethod | None,
        _option(
            TEACHER,
            "frozen: features and a head, minutes. fine-tuned: all weights, hours without a GPU. "
            "classifier: --teacher-source as it is, knowing the labels by name. linear: a linear "
            "model, seconds.",
        ),
    ] = None
    teacher_source: Annotated[
        str | None,
        _option(TEACHER, "Folder of a transformers model, or its name on the hub; safetensors."),
    ] = None


@dataclass(frozen=True)
class StudentFlags:
    """The student's shape and how it learns."""

    layers: Annotated[
        int | None, _option(STUDENT, "Layers of MiniLM that a single student begins with.", min=1)
    ] = None
    max_tokens: Annotated[
        int | None, _option(STUDENT, "Pieces of a text that are read.", min=3)
    ] = None
    epochs: Annotated[int | None, _option(STUDENT, "Rounds over the rows.", min=1)] = None
    batch: Annotated[int | None, _option(STUDENT, "Rows per step.", min=1)] = None
    learning_rate: Annotated[float | None, _option(STUDENT, "Largest step size.")] = None
    seed: Annotated[int | None, _option(STUDENT, "Same seed, same student.")] = None
    temperature: Annotated[
        float | None, _option(STUDENT, "How much the teacher's words are softened; above 0.")
    ] = None
    soft_weight: Annotated[
        float | None, _option(STUDENT, "0..1: weight of the teacher's word against the label's.")
    ] = None
    variants: Annotated[
        float | None, _option(STUDENT, "Invented texts for each real one; the teacher labels them.")
    ] = None
    scheme: Annotated[Scheme | None, _option(STUDENT, "How weights become INT8.")] = None
    bits: Annotated[int | None, _option(STUDENT, "Bits of a weight.", min=2, max=8)] = None


@dataclass(frozen=True)
class ChoiceFlags:
    """Where calls are priced, and by how much a challenger must win."""

    margin: Annotated[
        float | None,
        _option(
            CHOICE, "Accuracy to gain, or share of the cost to save, to replace a bundle: 0..1."
        ),
    ] = None
    platform: Annotated[
        str | None, _option(CHOICE, "Where calls are priced: lambda, fc or knative.")
    ] = None
    memory_mb: Annotated[
        int | None, _option(CHOICE, "Memory that is paid for, in MB.", min=128)
    ] = None


RecipeName = Annotated[
    str | None,
    typer.Argument(help="A recipe: a .toml file, or the name of one that ships.", metavar="RECIPE"),
]
Cache = Annotated[Path, typer.Option(help="Folder of steps that are done; nothing is made twice.")]
Student = Annotated[
    str,
    typer.Option(help=r"Which of the recipe's students. \[default: the first]", show_default=False),
]
Floor = Annotated[
    str,
    typer.Option(
        help="Accuracy that the winner must have: 0.95, or 0.98-of-teacher. "
        r"\[default: the recipe's]",
        show_default=False,
    ),
]
Receipts = Annotated[Path, typer.Option(help="Folder of receipts, tables and plots.")]
WriteRecipe = Annotated[
    Path | None,
    typer.Option(
        help="Write the whole recipe, options included, to this .toml file.", show_default=False
    ),
]
DEFAULT_CACHE = Path(".cache/forge")
DEFAULT_MODELS = Path("layers/models")
DEFAULT_RECEIPTS = Path("layers/forge/receipts")


def takes(command: Callable[..., None]) -> Callable[..., None]:
    """The command with every parameter that is a group spelt out as options of its own."""
    hints = get_type_hints(command, include_extras=True)
    signature = inspect.signature(command)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}

    def run(**values: Any) -> None:
        filled = {
            name: kind(**{field.name: values.pop(field.name) for field in fields(kind)})
            for name, kind in groups.items()
        }
        command(**values, **filled)

    parameters = list(_spelt_out(signature, hints, groups))
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return run


def _spelt_out(
    signature: inspect.Signature, hints: dict[str, Any], groups: dict[str, Any]
) -> Iterator[inspect.Parameter]:
    for name, parameter in signature.parameters.items():
        if name not in groups:
            yield parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
            continue
        options = get_type_hints(groups[name], include_extras=True)
        for field in fields(groups[name]):
            yield inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=options[field.name],
            )
