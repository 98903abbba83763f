"""How words are weighed where there is no index to know them from."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.search.reranking import K1, B, overlaps

words = st.sampled_from(["red", "blue", "chair", "lamp", "18v", "drill"])
texts = st.lists(words, max_size=12)


@given(query=st.lists(words, max_size=6, unique=True), documents=st.lists(texts, max_size=8))
def test_shares_are_between_0_and_1_and_0_without_a_common_word(
    query: list[str], documents: list[list[str]]
) -> None:
    shares = overlaps(query, documents)
    assert shares.shape == (len(documents),)
    for share, document in zip(shares, documents, strict=True):
        assert 0 <= share < 1
        assert (share > 0) == bool(set(query) & set(document))


@given(
    query=st.lists(words, min_size=1, max_size=6, unique=True),
    documents=st.lists(texts, min_size=1, max_size=6),
)
def test_shares_are_the_formulas_by_hand(query: list[str], documents: list[list[str]]) -> None:
    count = len(documents)
    mean = max(sum(map(len, documents)) / count, 1)
    weights = {
        word: math.log(1 + (count + 1) / (sum(word in one for one in documents) + 0.5))
        for word in query
    }
    for share, document in zip(overlaps(query, documents), documents, strict=True):
        expected = 0.0
        for word in query:
            often = document.count(word)
            norm = K1 * (1 - B + B * len(document) / mean)
            expected += weights[word] * often / (often + norm)
        assert share == pytest.approx(expected / sum(weights.values()))


def test_a_rare_word_weighs_more_than_a_common_one() -> None:
    documents = [["red", "chair"], ["red", "lamp"], ["red", "drill"], ["blue", "chair"]]
    shares = overlaps(["red", "lamp"], documents)
    assert int(np.argmax(shares)) == 1
    alone = overlaps(["red", "blue"], documents)
    assert alone[3] > alone[0]
