"""All that is known of a bundle or a teacher: right, quick, small, steady, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from farthing.forge.evaluate.price import Price
from farthing.forge.evaluate.quality import Drift, Likeness
from farthing.forge.evaluate.scores import Scores
from farthing.forge.evaluate.start import Start
from farthing.forge.evaluate.timing import Times

if TYPE_CHECKING:
    from collections.abc import Iterator

UNKNOWN_SHARE_MAX = 0.05
NAMES_SHOWN = 5


class Report(msgspec.Struct, frozen=True):
    """Measured on one machine, in one go; `msgspec.to_builtins` makes it plain.

    `scores` is None for an embedder, `likeness` for a classifier. A teacher is no bundle: its
    `drift` and `unknown_token_share` are None, its `bytes` those of its float32 weights.
    `warnings` are whole sentences.
    """

    name: str
    digest: str
    task: str
    quantisation: str
    bytes: int
    parameters: int
    scores: Scores | None
    likeness: Likeness | None
    drift: Drift | None
    unknown_token_share: float | None
    times: Times
    start: Start | None
    price: Price
    warnings: tuple[str, ...]

    @property
    def answers_alone(self) -> bool:
        """Whether each text must be run by itself, because neighbours would change its answer."""
        return self.drift is not None and not self.drift.is_zero


def cautions(
    price: Price,
    scores: Scores | None = None,
    found: Drift | None = None,
    unknown_share: float | None = None,
    start: Start | None = None,
) -> Iterator[str]:
    """What a reader of the numbers must know, a sentence each."""
    if unknown_share is not None and unknown_share > UNKNOWN_SHARE_MAX:
        yield (
            f"{unknown_share:.1%} of the texts' tokens are unknown to the model, more than "
            f"{UNKNOWN_SHARE_MAX:.0%}: it was made for other texts."
        )
    if scores is not None and scores.unknown_labels:
        names = ", ".join(scores.unknown_labels[:NAMES_SHOWN])
        yield (
            f"{scores.unknown_label_rows} rows have labels that the model cannot answer and count "
            f"as wrong: {names}{' and more' if len(scores.unknown_labels) > NAMES_SHOWN else ''}."
        )
    if found is not None and not found.is_zero:
        yield (
            f"An answer depends on its neighbours in a batch ({found.labels_changed} of "
            f"{found.texts} labels changed), so each text is run alone."
        )
    if price.was_raised:
        yield (
            f"{price.needed_mb:,} MB are needed, more than the {price.asked_mb:,} MB asked for: "
            f"priced at {price.memory_mb:,} MB."
        )
    if start is not None and start.was_disturbed:
        yield (
            f"The machine was busy: cold starts took {start.cold_ms:.0f} ms for "
            f"{start.cpu_ms:.0f} ms of work. Measure again when it is idle."
        )
