"""Texts to terms: documents and queries are taken apart in the same way.

Lower case, words of letters and digits, English stop words left out, words brought to their stem.
A word with digits is kept as it is and split as well: "64gb" is found by 64gb, by 64 and by gb.
Chinese and the kanji of Japanese have no spaces; a segmenter's dictionary finds their words.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

import Stemmer

from farthing.search.errors import CatalogueInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farthing.search.manifest import Analysis

# Beyond these a text is not read: the words of a long chapter, at any length of word.
CHARACTERS_MAX = 200_000
TERMS_MAX = 20_000
TERM_CHARACTERS_MAX = 64
# A query's further words change its best hits less and less, and each costs time.
QUERY_TERMS_MAX = 64
STEMS_MAX = 65_536
# The first character of those that are written without spaces.
UNSPACED = "\u3005"

WORD = re.compile(r"[^\W_]+")
DIGIT = re.compile(r"\d")
NUMBER_OR_LETTERS = re.compile(r"\d+|[^\W\d_]+")
ACCENT = re.compile("[\u0300-\u036f]")
# The words that Lucene leaves out of English.
STOP_WORDS = frozenset((
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it",
    "no", "not", "of", "on", "or", "such", "that", "the", "their", "then", "there", "these",
    "they", "this", "to", "was", "will", "with",
))  # fmt: skip


class Analyzer:
    """Takes texts apart as one index asks for.

    Accents are folded in English, and where the language is "none"; elsewhere they tell words
    apart, and stemmers want them. Stop words are known for English only.

    Raises `CatalogueInvalid` for a language that has no stemmer.
    """

    def __init__(self, analysis: Analysis) -> None:
        self._stemmer = _stemmer(analysis.language)
        self._folds_accents = analysis.language in ("english", "none")
        english = analysis.stop_words and analysis.language == "english"
        self._stop_words = STOP_WORDS if english else frozenset()
        self._stems: dict[str, str] = {}

    def terms(self, text: str) -> list[str]:
        """The terms in order, at most `TERMS_MAX`, each of at most `TERM_CHARACTERS_MAX` letters.

        Of the text the first `CHARACTERS_MAX` characters are read.
        """
        words: Iterable[str]
        text = text[:CHARACTERS_MAX]
        if text.isascii():
            words = WORD.findall(text.lower())
        else:
            text = self._folded(text)
            words = WORD.findall(text)
            if max(text) >= UNSPACED:
                from farthing.search.scripts import separated

                words = separated(words)
        terms: list[str] = []
        for word in words:
            if word not in self._stop_words:
                self._add(terms, word[:TERM_CHARACTERS_MAX])
                if len(terms) >= TERMS_MAX:
                    break
        return terms[:TERMS_MAX]

    def query_terms(self, query: str) -> list[str]:
        """The distinct terms in order, at most `QUERY_TERMS_MAX`."""
        return list(dict.fromkeys(self.terms(query)))[:QUERY_TERMS_MAX]

    def _add(self, terms: list[str], word: str) -> None:
        if not DIGIT.search(word):
            terms.append(self._stem(word))
            return
        terms.append(word)
        if not word.isdecimal():
            terms.extend(NUMBER_OR_LETTERS.findall(word))

    def _stem(self, word: str) -> str:
        stem = self._stems.get(word)
        if stem is None:
            if len(self._stems) >= STEMS_MAX:
                self._stems.clear()
            stem = self._stems[word] = self._stemmer.stemWord(word) if self._stemmer else word
        return stem

    def _folded(self, text: str) -> str:
        text = unicodedata.normalize("NFKC", text).casefold()
        if self._folds_accents:
            text = ACCENT.sub("", unicodedata.normalize("NFD", text))
        return unicodedata.normalize("NFC", text)


def _stemmer(language: str) -> Stemmer.Stemmer | None:
    if language == "none":
        return None
    try:
        # Ours is the only cache: a dictionary is read faster than theirs.
        return Stemmer.Stemmer(language, 0)
    except KeyError:
        known = ", ".join(sorted(Stemmer.algorithms()))
        raise CatalogueInvalid(
            "The index asks for a language whose words cannot be brought to a stem. "
            f"Name one of {known}, or none."
        ) from None
