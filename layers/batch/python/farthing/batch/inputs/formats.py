"""What a file's name says of it, and what every format refuses alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from farthing.batch.errors import InputInvalid

if TYPE_CHECKING:
    from collections.abc import Sequence

Form = Literal["csv", "tsv", "jsonl", "parquet"]
Packing = Literal["", "gzip", "zstd"]

FORMS: Final[dict[str, Form]] = {
    "csv": "csv",
    "tsv": "tsv",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "parquet": "parquet",
}
PACKINGS: Final[dict[str, Packing]] = {"gz": "gzip", "zst": "zstd"}
NAMED_MAX: Final = 12


class Format(NamedTuple):
    """`packing` is "" where the bytes lie as they are; Parquet packs its own."""

    form: Form
    packing: Packing


def name_of(uri: str) -> str:
    """The last part of a file's uri, as messages and rejected rows name it."""
    return uri.partition("?region=")[0].partition("?endpoint=")[0].rpartition("/")[2]


def format_of(name: str) -> Format:
    """Raises `InputInvalid` where the name's ending says no format that can be read."""
    stem, _, ending = name.lower().rpartition(".")
    packing = PACKINGS.get(ending, "")
    form = FORMS.get(stem.rpartition(".")[2] if packing else ending)
    if not stem or form is None or (packing and form == "parquet"):
        raise InputInvalid(
            f"{name} was asked for, and its ending names no format that can be read: .csv, .tsv, "
            ".jsonl and .ndjson, each also as .gz and .zst, and .parquet. Convert or rename it."
        )
    return Format(form, packing)


def check_columns(file: str, has: Sequence[str], wanted: Sequence[str]) -> None:
    """Raises `InputInvalid` where a wanted column is missing, or is there more than once."""
    for column in wanted:
        if column not in has:
            shown = ", ".join(has[:NAMED_MAX])
            if len(has) > NAMED_MAX:
                shown += f" and {len(has) - NAMED_MAX} more"
            raise InputInvalid(
                f"{file} was asked for its column {column!r} and has the columns {shown}. "
                "Name one of these."
            )
        if has.count(column) > 1:
            raise InputInvalid(
                f"{file} has the column {column!r} {has.count(column)} times, so which one is "
                "meant is open. Rename all but one."
            )
