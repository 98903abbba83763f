"""A recipe's rows to train on, to choose by and to test with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from farthing.forge.data import checks
from farthing.forge.data.files import facts
from farthing.forge.data.labelled import LabelledSet
from farthing.forge.data.paths import locate
from farthing.forge.data.survey import Survey, survey
from farthing.tables.chunk import DataInvalid

if TYPE_CHECKING:
    from rich.progress import Progress

    from farthing.forge.data.checks import DataReport
    from farthing.forge.data.survey import Mask
    from farthing.forge.recipe import DataFiles

# Of each label at least so many rows are kept when training rows are left out.
KEPT_PER_LABEL = 20
DRAWS = 2**32


@dataclass(frozen=True)
class Splits:
    """The rows of each part, in file order, and what was found while reading them.

    No text is both in `train` and in a `valid` that was held out of it. `test` may have labels
    that `train` lacks: few rows, which the report warns of, and those of the recipe's
    `out_of_scope`, which `valid` may have, too. An embedder has only `test` and `unlabelled`.
    """

    train: LabelledSet
    valid: LabelledSet
    test: LabelledSet
    unlabelled: tuple[str, ...]
    report: DataReport

    @property
    def labels(self) -> tuple[str, ...]:
        """The distinct labels of the training rows, sorted: the order of a classifier's outputs."""
        return self.train.label_names()


def load(data: DataFiles, progress: Progress | None = None) -> Splits:
    """Reads, checks and splits the files of a recipe; each file is read twice, texts kept once.

    Which rows are used depends on the texts alone, by their sha256: no random number, no order.

    :raises DataMissing: if a file is not there.
    :raises DataInvalid: if the rows cannot serve: see `checks`.
    """
    if not 0 < data.valid_share < 1:
        raise DataInvalid(
            f"valid_share is {data.valid_share}; it is the share of training rows to hold out, "
            "above 0 and below 1."
        )
    named = {
        "train": data.train,
        "valid": data.valid,
        "test": data.test,
        "unlabelled": data.unlabelled,
    }
    files = {part: locate(file) for part, file in named.items() if file}
    seen = {
        part: survey(path, data.text, "" if part == "unlabelled" else data.label, progress)
        for part, path in files.items()
    }
    rows = {part: found.filled for part, found in seen.items()}
    rows["test"] = _first(rows["test"], data.rows)
    if "train" in seen:
        checks.refuse_unfit_training(seen["train"], rows["train"])
        if "valid" not in seen:
            seen["valid"] = seen["train"]
            rows["valid"] = held_out(seen["train"], data.valid_share)
            rows["train"] = rows["train"] & ~rows["valid"]
            spared = data.train_rows_max * data.valid_share / (1 - data.valid_share)
            rows["valid"] = bounded(seen["train"], rows["valid"], int(np.ceil(spared)))
        rows["train"] = bounded(seen["train"], rows["train"], data.train_rows_max)
    if "unlabelled" in seen:
        rows["unlabelled"] = bounded(seen["unlabelled"], _unseen(seen, rows), data.train_rows_max)
    reviewed = checks.review(data, seen, rows)
    report = checks.report(data, seen, reviewed, {p: facts(files[p], named[p]) for p in files})
    read = {part: found.read(reviewed[part]) for part, found in seen.items()}
    empty = LabelledSet()
    return Splits(
        train=read.get("train", empty),
        valid=read.get("valid", empty),
        test=read["test"],
        unlabelled=read.get("unlabelled", empty).texts,
        report=report,
    )


def held_out(rows: Survey, share: float) -> Mask:
    """The rows to keep out of training: those texts whose sha256 draws below `share`.

    A label keeps a training row: where the draw would take all of them, they all stay.

    :raises DataInvalid: if no row is drawn.
    """
    held = rows.filled & (rows.draws < share * DRAWS)
    left = np.bincount(rows.labels[rows.filled & ~held], minlength=len(rows.names))
    emptied = held & (left[np.maximum(rows.labels, 0)] == 0)
    # By text and not by row, so that the same text under another label stays, too.
    held &= ~np.isin(rows.keys, rows.keys[emptied])
    if not held.any():
        raise DataInvalid(
            f"{rows.path.name} has {int(rows.filled.sum())} rows, too few to hold out a share of "
            f"{share} to choose by. Give a file `valid`, or raise `valid_share`."
        )
    return held


def bounded(rows: Survey, wanted: Mask, rows_max: int) -> Mask:
    """`wanted`, or the `rows_max` of them (0 for all) whose texts have the lowest sha256.

    Of every label the 20 lowest come first, so that a rare label is not lost.
    """
    candidates = np.flatnonzero(wanted)
    if not rows_max or len(candidates) <= rows_max:
        return wanted
    by_key = candidates[np.argsort(rows.keys[candidates], kind="stable")]
    labels = rows.labels[by_key]
    grouped = np.argsort(labels, kind="stable")
    rank = np.empty(len(labels), dtype=np.int64)
    rank[grouped] = np.arange(len(labels)) - np.searchsorted(labels[grouped], labels[grouped])
    chosen = by_key[np.argsort(np.minimum(rank, KEPT_PER_LABEL), kind="stable")][:rows_max]
    mask = np.zeros(len(wanted), dtype=np.bool_)
    mask[chosen] = True
    return mask


def _first(rows: Mask, rows_max: int) -> Mask:
    """The first `rows_max` of the rows in file order, 0 for all."""
    return rows & (np.cumsum(rows) <= rows_max) if rows_max else rows


def _unseen(seen: dict[str, Survey], rows: dict[str, Mask]) -> Mask:
    """Unlabelled texts that neither test nor valid has: nothing is learnt from those."""
    texts = seen["unlabelled"]
    judged = [seen[part].keys[rows[part]] for part in ("valid", "test") if part in seen]
    mask: Mask = rows["unlabelled"] & ~np.isin(texts.keys, np.concatenate(judged))
    return mask
