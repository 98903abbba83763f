"""The model card: what a bundle is, what it was made of, what it can and cannot do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from farthing.forge.data.checks import DataReport
from farthing.forge.pack.recipe_text import recipe_text
from farthing.forge.recipe import Recipe, shipped
from farthing.forge.storage import room_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

CARD_FILE = "README.md"
DIGEST_CHARS = 12

Figures = tuple[tuple[str, str], ...]


class WorstClass(msgspec.Struct, frozen=True):
    """A label that did badly: shares 0..1, and hundredths of recall lost against the teacher."""

    label: str
    rows: int
    precision: float
    recall: float
    f1: float
    recall_lost_points: float | None = None


class Card(msgspec.Struct, frozen=True):
    """Everything that the card says and the recipe does not, in words and numbers ready to print.

    `kind` says what the model is and `choice` why this one was taken. `figures` are pairs of a
    name with its unit and a value; `teacher_figures` has the same names where the teacher has such
    a value. `proof`, `limits` and `teacher` are whole sentences. `digest` is the bundle's,
    `receipt` that of the contest's receipt.
    """

    recipe: Recipe
    digest: str
    kind: str
    labels: tuple[str, ...]
    figures: Figures
    teacher: str = ""
    teacher_figures: Figures = ()
    choice: str = ""
    classes: tuple[WorstClass, ...] = ()
    proof: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    data: DataReport | None = None
    receipt: str = ""


def write_card(folder: Path, card: Card) -> None:
    """Writes README.md into the bundle's folder; the same card gives the same bytes."""
    with room_for(folder):
        (folder / CARD_FILE).write_text(card_text(card), encoding="utf-8", newline="\n")


def card_text(card: Card) -> str:
    """The card as Markdown."""
    sections = (
        (f"# {card.recipe.name}", _purpose(card)),
        ("## Why this model", _choice(card)),
        ("## Measured", _measured(card)),
        ("## Labels that did worst", _classes(card.classes)),
        ("## Processors", _bullets(card.proof)),
        ("## Known limits", _bullets(_limits(card))),
        ("## Data", _data(card)),
        ("## Make it again", _reproduce(card)),
        ("## Licence", _licence(card.recipe)),
    )
    blocks = (f"{heading}\n\n{body}" for heading, body in sections if body)
    return "\n\n".join(blocks) + "\n"


def _purpose(card: Card) -> str:
    recipe = card.recipe
    if recipe.task == "embed":
        does, command = "Turns texts into vectors", "embed"
    else:
        does, command = f"Gives texts one of {len(card.labels)} labels", "classify"
    lines = [
        f"{does}: {_escaped(card.kind)}. Bundle digest `{card.digest}`.",
        f"```sh\nfarthing invoke {command} 'your text' --model {recipe.name}\n```",
    ]
    if card.labels:
        lines.append(f"Labels: {', '.join(map(_escaped, card.labels))}.")
    return "\n\n".join(lines)


def _choice(card: Card) -> str:
    sentences = [_escaped(card.choice), _escaped(card.teacher)]
    if card.receipt:
        sentences.append(f"The contest's receipt has the sha256 `{card.receipt}`.")
    return " ".join(sentence for sentence in sentences if sentence)


def _measured(card: Card) -> str:
    theirs = dict(card.teacher_figures)
    if not theirs:
        return _table(("what", "this bundle"), card.figures)
    return _table(
        ("what", "this bundle", "teacher"),
        [(what, value, theirs.get(what, "")) for what, value in card.figures],
    )


def _classes(classes: Sequence[WorstClass]) -> str:
    if not classes:
        return ""
    return _table(
        ("label", "rows", "precision", "recall", "F1", "recall lost to the teacher, points"),
        [
            (
                it.label,
                f"{it.rows:,}",
                *(f"{share:.3f}" for share in (it.precision, it.recall, it.f1)),
                "" if it.recall_lost_points is None else f"{it.recall_lost_points:+.1f}",
            )
            for it in classes
        ],
    )


def _limits(card: Card) -> Iterator[str]:
    recipe = card.recipe
    if recipe.limits:
        yield " ".join(recipe.limits.split())
    yield f"Of a text, the first {recipe.max_tokens} tokens are read."
    if recipe.task == "classify":
        yield (
            "Every text gets one of the labels, whatever it is about: set a threshold on the score "
            "where that matters."
        )
    yield "Only texts like those of the data below were tried, in their language and their style."
    yield from card.limits
    if not card.proof:
        yield "No processor but the one that measured was tried."


def _data(card: Card) -> str:
    named = card.recipe.data
    words = [named.name]
    if named.source:
        words.append(f"from {named.source}")
    words.append(f"licence: {named.licence or 'not stated'}")
    paragraphs = [_escaped(", ".join(words)) + "."]
    if card.data is not None:
        rows = [
            (part, facts.file, f"{card.data.rows[part]:,}", f"`{facts.sha256}`")
            for part, facts in card.data.files.items()
        ]
        if "valid" in card.data.rows and "valid" not in card.data.files:
            rows.append(("valid", "held out of train", f"{card.data.rows['valid']:,}", ""))
        paragraphs.append(_table(("part", "file", "rows used", "sha256 of the file"), rows))
        paragraphs.append(_bullets(card.data.warnings))
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def _reproduce(card: Card) -> str:
    name = card.recipe.name
    text = recipe_text(card.recipe)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    named = name if name in shipped() else f"{name}.toml"
    saved = "" if name in shipped() else f", with this saved as {name}.toml"
    return (
        f"```sh\nfarthing forge build {named}\n```\n\n"
        f"FARTHING_DATA names the folder with the data{saved}. "
        f"Recipe digest `{card.recipe.digest()}`:\n\n{fence}toml\n{text}{fence}"
    )


def _licence(recipe: Recipe) -> str:
    return f"{_escaped(recipe.licence)}; see LICENSE and NOTICE. Origin: {_escaped(recipe.origin)}."


def _bullets(sentences: Iterator[str] | Sequence[str]) -> str:
    return "\n".join(f"- {_escaped(sentence)}" for sentence in sentences)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *([_escaped(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escaped(text: str) -> str:
    """Text of others without the signs that Markdown reads in a line or a table."""
    return re.sub(r"([|<*_\[\]])", r"\\\1", " ".join(text.split()))
