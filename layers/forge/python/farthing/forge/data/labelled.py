"""Labelled sets and title lists, read from gzip TSV files."""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass
from pathlib import Path

from farthing.errors import StartupError

DATA_ROOT_VARIABLE = "FARTHING_DATA"


class DataMissing(StartupError):
    """A file that a recipe names cannot be read."""


@dataclass(frozen=True)
class LabelledSet:
    """Texts with one label each; `texts[i]` belongs to `labels[i]`."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def label_names(self) -> tuple[str, ...]:
        """The distinct labels, sorted: the order a classifier's outputs have."""
        return tuple(sorted(set(self.labels)))

    def label_ids(self, names: tuple[str, ...]) -> list[int]:
        """Each row's position in `names`.

        :raises ValueError: if a label is not among `names`.
        """
        ids = {name: number for number, name in enumerate(names)}
        unknown = sorted(set(self.labels) - set(ids))
        if unknown:
            raise ValueError(
                f"Labels {unknown} are not among the model's labels {list(names)}; "
                "use a set with the labels that the model was trained on."
            )
        return [ids[label] for label in self.labels]


def data_root() -> Path:
    """The folder with the data sets, from the environment.

    :raises DataMissing: if FARTHING_DATA is unset or names no folder.
    """
    value = os.environ.get(DATA_ROOT_VARIABLE, "")
    if not value:
        raise DataMissing(
            f"This needs the data sets, but {DATA_ROOT_VARIABLE} is not set; "
            f"set {DATA_ROOT_VARIABLE} to the folder that holds pricerunner/ and product-search/."
        )
    root = Path(value)
    if not root.is_dir():
        raise DataMissing(
            f"{DATA_ROOT_VARIABLE} is {value!r}, which is not a folder; "
            "set it to the folder that holds pricerunner/ and product-search/."
        )
    return root


def read_rows(path: Path) -> list[dict[str, str]]:
    """Every row of a gzip TSV as a dict keyed by the header line.

    The format is UTF-8 without quoting: no tab or newline occurs inside a field.

    :raises DataMissing: if the file does not exist.
    :raises ValueError: if a row has more or fewer fields than the header.
    """
    if not path.is_file():
        raise DataMissing(f"{path} was asked for and does not exist; fetch the data set first.")
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        header = file.readline().rstrip("\n").split("\t")
        return [dict(zip(header, line.rstrip("\n").split("\t"), strict=True)) for line in file]


def read_column(path: Path, column: str, limit: int | None = None) -> list[str]:
    """The first `limit` values of one column (all, if `limit` is None), in file order.

    :raises ValueError: if the file has no such column.
    """
    rows = read_rows(path)
    if rows and column not in rows[0]:
        raise ValueError(f"{path.name} has the columns {list(rows[0])}, not {column!r}.")
    return [row[column] for row in rows[:limit]]


def read_labelled(path: Path, text: str, label: str) -> LabelledSet:
    """The columns `text` and `label` of a file as a labelled set."""
    rows = read_rows(path)
    for column in (text, label):
        if rows and column not in rows[0]:
            raise ValueError(f"{path.name} has the columns {list(rows[0])}, not {column!r}.")
    return LabelledSet(
        texts=tuple(row[text] for row in rows),
        labels=tuple(row[label] for row in rows),
    )
