"""N-grams against their definition written out, and the window that bounds them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.inference.analysis import (
    CHARACTERS_PER_TOKEN,
    CharacterAnalyser,
    WordAnalyser,
    hash_of,
    hashes_of,
)
from farthing.inference.ngrams import NO_NGRAM, ROWS_AT_ONCE, STORED, NgramEncoder

if TYPE_CHECKING:
    from pathlib import Path

    from farthing.inference.analysis import Analyser

WINDOW = 128
SPACED = st.lists(st.text(max_size=12), max_size=12).map(" ".join)
# Lower case longer than upper case, final sigma, joiners, ideographs, spaces of every kind.
STRANGE = [
    "İSTANBUL",
    "ΟΔΟΣ ΑΣ",
    "沙发 床",
    "e\u0301t\u00e9",
    "a\u2003b\x1fc\xa0d",
    "\u200b",
    "\ud800 x",
]


def character_ngrams(text: str) -> list[str]:
    found = []
    for word in text.lower().split():
        padded = f" {word} "
        for length in range(2, min(5, len(padded)) + 1):
            found += [padded[at : at + length] for at in range(len(padded) - length + 1)]
    return found


def word_ngrams(text: str) -> list[str]:
    words = re.findall(r"(?u)\b\w\w+\b", text.lower())
    return words + [f"{one} {other}" for one, other in pairwise(words)]


def counted(analyser: Analyser, text: str) -> Counter[int]:
    return Counter(analyser.hashes(analyser.words(text).words).tolist())


@given(SPACED)
def test_hashes_are_those_of_the_characters_in_each_word(text: str) -> None:
    assert counted(CharacterAnalyser(10_000), text) == Counter(map(hash_of, character_ngrams(text)))


@given(SPACED)
def test_hashes_are_those_of_words_and_pairs_of_words(text: str) -> None:
    assert counted(WordAnalyser(1_000), text) == Counter(map(hash_of, word_ngrams(text)))


@pytest.mark.parametrize("text", STRANGE)
def test_strange_texts_are_analysed_the_same(text: str) -> None:
    assert counted(CharacterAnalyser(WINDOW), text) == Counter(map(hash_of, character_ngrams(text)))
    assert counted(WordAnalyser(WINDOW), text) == Counter(map(hash_of, word_ngrams(text)))


def test_an_ngrams_hash_depends_on_length_order_and_letters() -> None:
    ngrams = ["a", "b", "ab", "ba", "aab", "\x00a", " a", "a ", "aa", "aaa"]
    assert len(set(hashes_of(ngrams).tolist())) == len(ngrams)


@pytest.mark.parametrize("analyser", [CharacterAnalyser, WordAnalyser])
@pytest.mark.parametrize(
    ("text", "tokens", "was_truncated"),
    [
        ("", 1, False),
        (" \n ", 1, False),
        ("red chair", 2, False),
        ("aa bb cc dd", 4, False),
        (" aa  bb cc dd  ", 4, False),
        ("aa bb cc dd ee", 4, True),
        ("x" * CHARACTERS_PER_TOKEN, 1, False),
        ("x" * (CHARACTERS_PER_TOKEN + 1), 2, False),
        ("aa " + "x" * 3 * CHARACTERS_PER_TOKEN, 4, False),
        ("aa " + "x" * (3 * CHARACTERS_PER_TOKEN + 1), 4, True),
        ("x" * 1_000_000, 4, True),
        ("aa " * 300_000, 4, True),
    ],
)
def test_the_window_counts_words_and_bounds_characters(
    analyser: type[CharacterAnalyser | WordAnalyser], text: str, tokens: int, was_truncated: bool
) -> None:
    analyse = analyser(4)
    result = analyse.words(text)
    assert (result.tokens, result.was_truncated) == (tokens, was_truncated)
    assert len(analyse.hashes(result.words)) <= 4 * 4 * (CHARACTERS_PER_TOKEN + 1)


def test_what_lies_beyond_the_window_changes_nothing() -> None:
    for analyser in (CharacterAnalyser(3), WordAnalyser(3)):
        assert counted(analyser, "red oak chair") == counted(analyser, "red oak chair with legs")


@pytest.fixture
def encoder(tmp_path: Path) -> NgramEncoder:
    """Knows the words red, chair and the pair of them, in that order of rows after sorting."""
    known = hashes_of(["red", "chair", "red chair"])
    known.sort()
    known.astype(STORED).tofile(tmp_path / "ngrams.bin")
    return NgramEncoder(tmp_path / "ngrams.bin", "word", WINDOW)


def row_of(encoder: NgramEncoder, ngram: str) -> int:
    (row,) = set(encoder.encode([ngram])[0].ids.tolist()) - {NO_NGRAM}
    return int(row)


def test_known_ngrams_come_once_with_their_counts(encoder: NgramEncoder) -> None:
    (text,) = encoder.encode(["red RED chair, red sofa"])
    assert dict(zip(text.ids.tolist(), text.counts.tolist(), strict=True)) == {
        NO_NGRAM: 1,
        row_of(encoder, "red"): 3,
        row_of(encoder, "chair"): 1,
        6 - row_of(encoder, "red") - row_of(encoder, "chair"): 1,
    }
    assert text.ids.dtype == np.int64
    assert text.counts.dtype == np.float32


def test_a_text_without_known_ngrams_has_rows_of_nothing(encoder: NgramEncoder) -> None:
    for text in encoder.encode(["", "沙发", "🛋️", "sofa"]):
        assert set(text.ids.tolist()) == {NO_NGRAM}
        assert set(text.counts.tolist()) == {1}


def test_shorter_texts_are_filled_with_nothing(encoder: NgramEncoder) -> None:
    inputs = encoder.inputs(encoder.encode(["red chair", "chair"]))
    assert inputs["input_ids"].shape == inputs["counts"].shape == (2, ROWS_AT_ONCE)
    assert inputs["input_ids"][1].tolist() == [row_of(encoder, "chair"), *[NO_NGRAM] * 3]
    assert inputs["counts"].min() == 1


def test_words_without_a_known_ngram_are_told_as_a_share(encoder: NgramEncoder) -> None:
    assert encoder.unknown_share(["red sofa", "sofa", "chair red"]) == pytest.approx(2 / 5)
    assert encoder.unknown_share([""]) == 0


def test_looking_ngrams_up_needs_no_tokenizer(tmp_path: Path) -> None:
    hashes_of(["red"]).astype(STORED).tofile(tmp_path / "ngrams.bin")
    code = (
        "import sys, json\nfrom pathlib import Path\n"
        "import farthing.inference.tasks\nfrom farthing.inference.ngrams import NgramEncoder\n"
        f"NgramEncoder(Path({str(tmp_path / 'ngrams.bin')!r}), 'word', 8).encode(['red'])\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert "tokenizers" not in json.loads(done.stdout)
