"""What a teacher says of a recipe's texts, whatever kind of teacher it is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from farthing.forge.data.labelled import LabelledSet

FloatArray = npt.NDArray[np.float32]
Answer = Callable[[Sequence[str]], FloatArray]


@dataclass(frozen=True)
class Teaching:
    """A teacher's logits for the texts of a recipe, and the teacher itself to ask for more.

    `logits` and `vectors` are keyed by "train", "valid", "test" and "extra" (unlabelled and
    invented texts), each [rows, labels] and [rows, width]; the logits of "train" are from
    heads that did not see their row, where the kind of teacher allows it. `vectors` is empty for
    a teacher without sentence vectors. `answer` is the teacher in float32, a batch a call, as
    it would be served; `parameters` and `f32_bytes` are what that takes.
    """

    name: str
    labels: tuple[str, ...]
    digest: str
    parameters: int
    f32_bytes: int
    logits: dict[str, FloatArray]
    answer: Answer
    vectors: dict[str, FloatArray] = field(default_factory=dict)

    def accuracy(self, split: str, rows: LabelledSet) -> float:
        """The share of `rows`, the recipe's `split`, that the teacher labels as given."""
        names = np.array(self.labels, dtype=object)
        given = np.array(rows.labels, dtype=object)
        return float((names[self.logits[split].argmax(axis=1)] == given).mean())


def digest_of(*parts: bytes | str | FloatArray) -> str:
    """sha256 over the parts in order: which teacher it was."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(np.ascontiguousarray(part).tobytes())
        else:
            digest.update(part.encode() if isinstance(part, str) else part)
    return digest.hexdigest()
