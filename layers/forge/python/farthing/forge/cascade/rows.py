"""Stages opened, and what they say of labelled rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from farthing.forge.cascade.errors import CascadeInvalid
from farthing.forge.evaluate.quality import answers, open_model
from farthing.inference.bundle import MANIFEST_FILE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from farthing.forge.cascade.thresholds import FloatArray, IntArray
    from farthing.forge.data.labelled import LabelledSet
    from farthing.inference.tasks import TextModel


class Judged(NamedTuple):
    """Rows, by the number of their label, and each stage's probabilities for them."""

    wanted: IntArray
    stages: list[FloatArray]


def open_stages(folders: Sequence[Path], threads: int = 1) -> list[TextModel]:
    """The bundles in these folders, cheapest first, ready to answer.

    :raises CascadeInvalid: if they are fewer than two, no classifiers, or differ in their labels.
    """
    if len(folders) < 2:
        raise CascadeInvalid(
            f"A cascade was asked for with {len(folders)} stage. Name two bundles or more with "
            "--stage, the cheapest first."
        )
    for folder in folders:
        if not (folder / MANIFEST_FILE).is_file():
            raise CascadeInvalid(f"The stage {folder} is no folder of a bundle. Name one that is.")
    models = [open_model(folder, threads) for folder in folders]
    names = [model.name for model in models]
    if len(set(names)) < len(names):
        raise CascadeInvalid(
            f"The stages are named {', '.join(names)}, and each must be another bundle."
        )
    for model in models:
        if model.task != "classify" or model.labels != models[0].labels:
            raise CascadeInvalid(
                f"The stage {model.name} does not have the labels of {models[0].name} in their "
                "order. Take classifiers of the same rows."
            )
    return models


def judge(models: Sequence[TextModel], rows: LabelledSet, part: str) -> Judged:
    """What every stage says of every row.

    :raises CascadeInvalid: if there are no rows, or none has a label that the stages know.
    """
    numbers = {label: number for number, label in enumerate(models[0].labels)}
    wanted = np.array([numbers.get(label, -1) for label in rows.labels], dtype=np.int64)
    if not (wanted >= 0).any():
        raise CascadeInvalid(
            f"None of the {len(rows)} {part} rows has a label that the stages know. "
            "Give the rows that they were made for."
        )
    return Judged(wanted, [answers(model, rows.texts) for model in models])
