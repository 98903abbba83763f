"""Texts as weighted n-grams: what is trained on here is what `farthing.inference` looks up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from sklearn.feature_extraction.text import TfidfVectorizer

from farthing.errors import StartupError
from farthing.inference.analysis import CHARACTERS_IN_NGRAM, WORDS_IN_NGRAM

if TYPE_CHECKING:
    from collections.abc import Sequence

LinearKind = Literal["char_wb", "word"]
RANGES = {"char_wb": CHARACTERS_IN_NGRAM, "word": WORDS_IN_NGRAM}

# Most n-grams occur in one text only. Of 5,000 rows and more they are half of the table and add
# nothing (0.886 and 0.885 on banking77); of 1,000 they still tell something (0.748 and 0.744).
FEW_ROWS = 2000


class NoNgrams(StartupError):
    """The training texts have nothing that a linear model of this kind could weigh."""


def fit_features(kind: LinearKind, texts: Sequence[str]) -> tuple[TfidfVectorizer, Any]:
    """A fitted vectoriser and the sparse matrix of `texts`, [texts, n-grams], rows of length 1.

    A count c weighs 1 + ln c, times ln((1 + texts) / (1 + texts with the n-gram)) + 1.

    :raises NoNgrams: if the texts have no n-gram that could be learnt from: `word` finds none in
        punctuation, for instance.
    """
    vectoriser = TfidfVectorizer(
        analyzer=kind,
        ngram_range=RANGES[kind],
        sublinear_tf=True,
        min_df=1 if len(texts) < FEW_ROWS else 2,
    )
    try:
        return vectoriser, vectoriser.fit_transform(texts)
    except ValueError:
        raise NoNgrams(
            f"A linear model on {kind} n-grams was asked for; the {len(texts)} training texts have "
            "none to learn from. Use texts with words in them, or the other kind of n-grams."
        ) from None
