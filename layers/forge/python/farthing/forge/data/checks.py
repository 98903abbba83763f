"""What is wrong, or merely worth knowing, in the rows of a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from farthing.forge.data.files import FileFacts
from farthing.forge.data.survey import LONG_CHARS
from farthing.tables.chunk import DataInvalid, some

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from farthing.forge.data.survey import Mask, Survey
    from farthing.forge.recipe import DataFiles

# Rows whose label training never saw: up to this share they count as wrong, beyond it the files
# do not belong together. A long tail of labels always leaves a few such rows.
UNSEEN_SHARE_MAX = 0.01


class DataReport(msgspec.Struct, frozen=True):
    """Facts about the rows that are used, and sentences about what the user should look at.

    `rows` and `files` are by part: train, valid, test, unlabelled. `duplicates` counts training
    rows that repeat an earlier one, `conflicting_texts` training texts with more than one label,
    `overlap` test rows whose text is also in `train`; texts are compared lower-cased and with
    single blanks. `empty_texts` counts the rows without a text and `left_out`, by part, rows with
    one that are not used either.
    """

    name: str
    files: dict[str, FileFacts]
    rows: dict[str, int]
    labels: int
    rows_per_label_min: int
    rows_per_label_max: int
    empty_texts: int
    duplicates: int
    conflicting_texts: int
    overlap: int
    overlap_share: float
    long_texts: int
    unseen_label_rows: int
    left_out: dict[str, int]
    warnings: tuple[str, ...]


def refuse_unfit_training(train: Survey, rows: Mask) -> None:
    """Refuses training rows that there are none of, or that all have one label.

    :raises DataInvalid: saying which of the two.
    """
    names = list(train.rows_per_label(rows))
    if not names:
        raise DataInvalid(
            f"{train.path.name} was asked for training rows and has none with a text. "
            "Give a file with labelled rows."
        )
    if len(names) == 1:
        raise DataInvalid(
            f"{train.path.name} has one label only, {names[0]!r}, and there is nothing to tell "
            f"apart. Give rows of two labels or more, or name another column than {train.label!r}."
        )


def review(
    data: DataFiles, seen: Mapping[str, Survey], rows: Mapping[str, Mask]
) -> dict[str, Mask]:
    """`rows` without those validation rows that have a label which no training row has.

    :raises DataInvalid: if there are no test rows; if more than 1 % of the validation or test rows
        have labels that training does not; if no row has the label `out_of_scope`.
    """
    if not rows["test"].any():
        raise DataInvalid(
            f"{seen['test'].path.name} was asked for test rows and has none with a text. "
            "Give a file with rows to test with."
        )
    reviewed = dict(rows)
    if "train" not in seen:
        return reviewed
    known = set(seen["train"].rows_per_label(rows["train"]))
    scope = known.union(*(seen[part].rows_per_label(rows[part]) for part in ("valid", "test")))
    if data.out_of_scope and data.out_of_scope not in scope:
        raise DataInvalid(
            f"out_of_scope is {data.out_of_scope!r}, a label that no row has; there are "
            f"{some(sorted(scope))}. Correct or remove it."
        )
    for part in ("valid", "test"):
        unseen = _unseen_labels(seen[part], rows[part], known | {data.out_of_scope})
        if unseen.sum() > UNSEEN_SHARE_MAX * rows[part].sum():
            names = sorted(seen[part].rows_per_label(unseen))
            raise DataInvalid(
                f"{seen[part].path.name} has {int(unseen.sum())} rows with labels that no training "
                f"row has: {some(names)}. Add training rows for them, leave these rows out, or "
                "name the label of what belongs to none as `out_of_scope`."
            )
        if part == "valid":
            reviewed[part] = rows[part] & ~unseen
    return reviewed


def report(
    data: DataFiles,
    seen: Mapping[str, Survey],
    rows: Mapping[str, Mask],
    files: dict[str, FileFacts],
) -> DataReport:
    """The facts about the reviewed `rows`, with warnings."""
    overlap = unseen_rows = duplicates = conflicting = 0
    per_label: dict[str, int] = {}
    if "train" in seen:
        train, used = seen["train"], rows["train"]
        per_label = train.rows_per_label(used)
        duplicates, conflicting = _repeats(train, used)
        overlap = int(np.isin(seen["test"].keys[rows["test"]], train.keys[used]).sum())
        known = set(per_label) | {data.out_of_scope}
        unseen_rows = int(_unseen_labels(seen["test"], rows["test"], known).sum())
    tests = int(rows["test"].sum())
    read_from = {part: seen[part] for part in files}
    facts = DataReport(
        name=data.name,
        files=files,
        rows={part: int(mask.sum()) for part, mask in rows.items()},
        labels=len(per_label),
        rows_per_label_min=min(per_label.values(), default=0),
        rows_per_label_max=max(per_label.values(), default=0),
        empty_texts=sum(int((~found.filled).sum()) for found in read_from.values()),
        duplicates=duplicates,
        conflicting_texts=conflicting,
        overlap=overlap,
        overlap_share=round(overlap / tests, 6),
        long_texts=sum(found.long_texts for found in read_from.values()),
        unseen_label_rows=unseen_rows,
        left_out=_left_out(seen, rows),
        warnings=(),
    )
    return msgspec.structs.replace(facts, warnings=tuple(_warnings(data, facts, per_label)))


def _unseen_labels(found: Survey, rows: Mask, known: set[str]) -> Mask:
    strange = [number for number, name in enumerate(found.names) if name not in known]
    mask: Mask = rows & np.isin(found.labels, strange)
    return mask


def _repeats(train: Survey, rows: Mask) -> tuple[int, int]:
    """Rows that repeat text and label of another, and texts that have more than one label."""
    pairs = np.stack([train.keys[rows], train.labels[rows].astype(np.uint64)], axis=1)
    different = np.unique(pairs, axis=0)
    _, labels_per_text = np.unique(different[:, 0], return_counts=True)
    return len(pairs) - len(different), int((labels_per_text > 1).sum())


def _left_out(seen: Mapping[str, Survey], rows: Mapping[str, Mask]) -> dict[str, int]:
    """Rows with a text that are not used, by part; `test` is cut on request and not counted."""
    missing = {
        part: int(seen[part].filled.sum() - rows[part].sum())
        for part in ("train", "valid", "unlabelled")
        if part in seen
    }
    if "train" in seen and seen["valid"] is seen["train"]:
        missing["train"] -= int(rows["valid"].sum())
        missing["valid"] = 0
    return {part: number for part, number in missing.items() if number}


def _warnings(data: DataFiles, facts: DataReport, per_label: Mapping[str, int]) -> Iterator[str]:
    yield from _about_left_out(data, facts)
    single = sorted(name for name, rows in per_label.items() if rows == 1)
    if single:
        yield f"Labels with one training row, too little to learn from: {some(single)}."
    trained_on, tested = facts.rows.get("train", 0), facts.rows["test"]
    if trained_on < 2 * facts.labels:
        yield (
            f"There are {trained_on} training rows for {facts.labels} labels, fewer than two "
            "a label."
        )
    if facts.overlap:
        yield (
            f"Test rows whose text is also in the training rows: {facts.overlap:,} of "
            f"{tested:,} ({facts.overlap_share:.1%}); the measured accuracy flatters."
        )
    if facts.conflicting_texts:
        yield f"Training texts with more than one label: {facts.conflicting_texts:,}."
    if facts.unseen_label_rows:
        yield (
            f"Test rows whose label no training row has: {facts.unseen_label_rows:,}; "
            "every answer to them counts as wrong."
        )
    if facts.long_texts:
        yield f"Texts longer than {LONG_CHARS:,} characters: {facts.long_texts:,}."
    yield from _nearly_equal(per_label)


def _about_left_out(data: DataFiles, facts: DataReport) -> Iterator[str]:
    left_out = facts.left_out
    if "train" in left_out:
        yield (
            f"Training rows left out: {left_out['train']:,}; {facts.rows['train']:,} are used, as "
            f"train_rows_max is {data.train_rows_max:,}. Raise it to learn from more."
        )
    if "valid" in left_out:
        yield f"Validation rows left out: {left_out['valid']:,}, whose labels no training row has."
    if "unlabelled" in left_out:
        yield (
            f"Unlabelled texts left out: {left_out['unlabelled']:,}, which validation or test rows "
            f"have, too, or which are more than train_rows_max ({data.train_rows_max:,})."
        )
    if facts.empty_texts:
        yield f"Rows left out because they have no text: {facts.empty_texts:,}."


def _nearly_equal(labels: Mapping[str, int]) -> Iterator[str]:
    by_fold: dict[str, list[str]] = {}
    for name in labels:
        by_fold.setdefault(" ".join(name.casefold().split()), []).append(name)
    alike = [sorted(names) for names in by_fold.values() if len(names) > 1]
    for names in sorted(alike)[:3]:
        yield f"The labels {' and '.join(map(repr, names))} differ by case or blanks only."
