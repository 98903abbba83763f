"""Invented training texts: parts of real ones, for a teacher to label."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

DIGITS = "0123456789"


def variant(text: str, generator: random.Random, digit_change_share: float) -> str:
    """Some of the words of `text`, in their order, with some digits changed.

    Between one word and all of them survive; all counts are equally likely. A student that sees
    "kfd4952xd" without "fridge freezer" has to learn what a model number by itself says. Training
    on unlabelled variants is due to R. Tang et al., "Distilling Task-Specific Knowledge from BERT
    into Simple Neural Networks" (2019), section 3.3.

    :param digit_change_share: chance of each digit to become a random one, 0..1.
    """
    words = text.split()
    if not words:
        return text
    kept = sorted(generator.sample(range(len(words)), generator.randint(1, len(words))))
    return " ".join(
        "".join(
            generator.choice(DIGITS)
            if character.isdigit() and generator.random() < digit_change_share
            else character
            for character in words[at]
        )
        for at in kept
    )


def variants(
    texts: Sequence[str], count: int, generator: random.Random, digit_change_share: float
) -> list[str]:
    """`count` variants of texts drawn at random, each text at most once more than any other."""
    drawn: list[str] = []
    while len(drawn) < count:
        drawn.extend(generator.sample(list(texts), min(len(texts), count - len(drawn))))
    return [variant(text, generator, digit_change_share) for text in drawn]
