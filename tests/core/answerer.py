"""A small real model for tests that are about serving: it measures a text's letters."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LABELS = ("vowels", "consonants", "other")
WINDOW = 8


class Letters(NamedTuple):
    texts: list[str]
    tokens: int
    truncated: int
    counts: list[tuple[int, bool]]


class LetterModel:
    """Answers both tasks with the shares of vowels, consonants and the rest of a text."""

    dims = len(LABELS)
    labels = LABELS
    digest = "d" * 64

    def __init__(self, name: str = "letters", task: str = "classify") -> None:
        self.name = name
        self.task = task
        self.on_compute: Callable[[], None] = lambda: None

    def prepare(self, texts: Sequence[str]) -> Letters:
        cut = [text[:WINDOW] for text in texts]
        return Letters(
            cut,
            tokens=sum(map(len, cut)),
            truncated=sum(len(text) > WINDOW for text in texts),
            counts=[(len(text[:WINDOW]), len(text) > WINDOW) for text in texts],
        )

    def compute(
        self, work: Letters, *, before_batch: Callable[[int], None] | None = None
    ) -> np.ndarray:
        rows = []
        for text in work.texts:
            if before_batch is not None:
                before_batch(len(text))
            self.on_compute()
            kinds = Counter(map(_kind, text.lower()))
            rows.append([kinds[label] / len(text) for label in LABELS])
        return np.array(rows, dtype=np.float32)

    def normal(self, text: str) -> str:
        return text

    def assemble(self, kept: Sequence[bytes | None], rows: np.ndarray | None) -> np.ndarray:
        computed = iter(() if rows is None else rows)
        return np.array(
            [
                next(computed) if row is None else np.frombuffer(row, dtype=np.float32)
                for row in kept
            ],
            dtype=np.float32,
        )

    def describe(self) -> dict[str, object]:
        return {"task": self.task}


def _kind(character: str) -> str:
    if character in "aeiou":
        return "vowels"
    return "consonants" if character.isalpha() else "other"
