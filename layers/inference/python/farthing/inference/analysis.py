"""Text to hashed n-grams, as linear models count them.

An n-gram is known by a polynomial over its code points modulo 2**64, so that the hashes of all
n-grams of a text come from a few array operations and no n-gram is ever cut out as a string. What
the n-grams are follows scikit-learn's `TfidfVectorizer` in lower case, analyzers `char_wb` and
`word`, to the letter.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]

# Lengths, shortest and longest, of `char_wb` n-grams in characters and of `word` n-grams in words.
CHARACTERS_IN_NGRAM = (2, 5)
WORDS_IN_NGRAM = (1, 2)
# A longer word counts as several tokens: a window of tokens thereby bounds the characters too,
# and languages that put no spaces between words are not taken for a single one.
CHARACTERS_PER_TOKEN = 16

WORD = re.compile(r"\b\w\w+\b")
# Code points count from 1, or leading NULs would leave a hash as it was.
FIRST = 1
SPACE = ord(" ") + FIRST
# Any odd number with mixed bits: odd, so that it has an inverse modulo 2**64.
BASE = 0x9E3779B97F4A7C15
MODULUS = 2**64
NO_HASHES = np.empty(0, np.uint64)


class Words(NamedTuple):
    """The words of a text within the window, and the tokens they count for, at least one."""

    words: list[str]
    tokens: int
    was_truncated: bool


class Analyser(Protocol):
    """A way to take texts apart."""

    def words(self, text: str, /) -> Words:
        """The text in lower case, cut into words."""

    def normal(self, text: str, /) -> str:
        """All the text's words, joined by spaces: texts that are equal so have equal `words`."""

    def hashes(self, words: Sequence[str], /) -> Hashes:
        """Every n-gram of these words as often as it occurs, in any order."""


def hash_of(ngram: str) -> int:
    """The number by which tables know an n-gram, 0 to 2**64 - 1."""
    value = 0
    for character in ngram:
        value = (value * BASE + ord(character) + FIRST) % MODULUS
    return value


class CharacterAnalyser:
    """N-grams of the characters of each word, the word between two spaces; none spans two words.

    Words are what white space separates.
    """

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._base = np.uint64(BASE)

    def words(self, text: str, /) -> Words:
        # Asked for so many words, `split` leaves the rest in one piece, which is then cut off.
        return within(text.lower().split(None, self._max_tokens), self._max_tokens)

    def normal(self, text: str, /) -> str:
        return " ".join(text.lower().split())

    def hashes(self, words: Sequence[str], /) -> Hashes:
        if not words:
            return NO_HASHES.copy()
        shortest, longest = CHARACTERS_IN_NGRAM
        # Neighbours share their space: an n-gram spans two words if a space is inside it.
        codes = code_points(f" {' '.join(words)} ")
        letter = codes != SPACE
        hashes, inside = codes, np.ones(len(codes), np.bool_)
        grown, whole = [], []
        for length in range(2, longest + 1):
            hashes = hashes[:-1] * self._base
            hashes += codes[length - 1 :]
            inside = inside[:-1]
            if length > 2:
                inside = inside & letter[length - 2 : -1]
            if length >= shortest:
                grown.append(hashes)
                whole.append(inside)
        every: Hashes = np.concatenate(grown)[np.concatenate(whole)]
        return every


class WordAnalyser:
    """Words of two letters or digits and more, and pairs of neighbours joined by one space."""

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        # The longest joined text: words fill their tokens, and spaces stand between.
        longest = max_tokens * (CHARACTERS_PER_TOKEN + 1)
        self._powers = powers(BASE, longest)
        self._inverse_powers = powers(pow(BASE, -1, MODULUS), longest)

    def words(self, text: str, /) -> Words:
        return within(WORD.findall(text.lower()), self._max_tokens)

    def normal(self, text: str, /) -> str:
        return " ".join(WORD.findall(text.lower()))

    def hashes(self, words: Sequence[str], /) -> Hashes:
        if not words:
            return NO_HASHES.copy()
        codes = code_points(" ".join(words))
        sums = np.zeros(len(codes) + 1, np.uint64)
        np.cumsum(codes * self._inverse_powers[: len(codes)], out=sums[1:])
        lengths = np.fromiter(map(len, words), np.intp, len(words))
        ends = (lengths + 1).cumsum() - 1
        starts = ends - lengths
        shortest, longest = WORDS_IN_NGRAM
        grown = [
            (sums[ends[count - 1 :]] - sums[starts[: len(words) - count + 1]])
            * self._powers[ends[count - 1 :] - 1]
            for count in range(shortest, min(longest, len(words)) + 1)
        ]
        return np.concatenate(grown)


def within(words: list[str], max_tokens: int) -> Words:
    """The words that fit `max_tokens`, the last one cut if need be."""
    if len(words) <= max_tokens and max(map(len, words), default=0) <= CHARACTERS_PER_TOKEN:
        return Words(words, max(1, len(words)), was_truncated=False)
    kept: list[str] = []
    free = max_tokens
    for word in words:
        if not free:
            break
        part = word[: free * CHARACTERS_PER_TOKEN]
        kept.append(part)
        free -= -(-len(part) // CHARACTERS_PER_TOKEN)
    was_truncated = len(kept) < len(words) or len(kept[-1]) < len(words[len(kept) - 1])
    return Words(kept, max_tokens - free, was_truncated)


def code_points(text: str) -> Hashes:
    """The text's code points, counted from `FIRST`; lone surrogates are let through."""
    raw = text.encode("utf-32-le", "surrogatepass")
    codes = np.frombuffer(raw, np.dtype("<u4")).astype(np.uint64)
    codes += FIRST
    return codes


def powers(base: int, count: int) -> Hashes:
    """base**0 to base**(count - 1) modulo 2**64."""
    factors = np.full(count, base, np.uint64)
    factors[0] = 1
    return factors.cumprod(dtype=np.uint64)


def hashes_of(ngrams: Iterable[str]) -> Hashes:
    """`hash_of` for each n-gram, in order."""
    return np.array([hash_of(ngram) for ngram in ngrams], np.uint64)
