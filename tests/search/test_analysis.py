"""Documents and queries are taken apart in the same way, and cheaply."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.search.analysis import (
    CHARACTERS_MAX,
    QUERY_TERMS_MAX,
    STEMS_MAX,
    TERM_CHARACTERS_MAX,
    TERMS_MAX,
    Analyzer,
)
from farthing.search.errors import CatalogueInvalid
from farthing.search.manifest import Analysis

english = Analyzer(Analysis())
plain = Analyzer(Analysis(language="none", stop_words=False))


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("The Washing Machines", ["wash", "machin"]),
        ("iPhone 64GB", ["iphon", "64gb", "64", "gb"]),
        ("wi-fi 802.11ac", ["wi", "fi", "802", "11ac", "11", "ac"]),
        ("usb_c", ["usb", "c"]),
        ("Café CRÈME", ["cafe", "creme"]),
        ("ﬁne Ｌ２００", ["fine", "l200", "l", "200"]),
        ("12 m²", ["12", "m2", "m", "2"]),
        ("", []),
        ("the of and", []),
        ('"IN" AND (title:x) OR *', ["titl", "x"]),
    ],
)
def test_english_texts_become_these_terms(text: str, terms: list[str]) -> None:
    assert english.terms(text) == terms


def test_without_a_language_words_stay_whole_and_stop_words_stay() -> None:
    assert plain.terms("The Washing machines") == ["the", "washing", "machines"]
    kept = Analyzer(Analysis(stop_words=False)).terms("the machines")
    assert kept == ["the", "machin"]


def test_german_keeps_its_umlauts_for_its_stemmer() -> None:
    german = Analyzer(Analysis(language="german"))
    assert german.terms("Häuser") == german.terms("HÄUSER")
    assert german.terms("the") == ["the"]


def test_chinese_is_segmented_wherever_it_stands() -> None:
    terms = english.terms("华为手机保护壳 Huawei P30 手机")
    assert "手机" in terms
    assert "手机保护壳" not in terms
    assert {"huawei", "p30", "p", "30"} <= set(terms)
    assert english.terms("手机") == ["手机"]


def test_japanese_words_end_where_the_script_changes() -> None:
    assert english.terms("東京のカメラ") == ["東京", "の", "カメラ"]
    assert english.terms("ガ") == ["ガ"]


def test_korean_and_cyrillic_survive_the_folding_of_accents() -> None:
    assert plain.terms("한국어 ПРИВЕТ") == ["한국어", "привет"]


@pytest.mark.parametrize(("text", "imported"), [("café 64gb über 😀", False), ("手机", True)])
def test_only_chinese_characters_load_the_segmenter(text: str, imported: bool) -> None:
    code = (
        "import sys\n"
        "from farthing.search.analysis import Analyzer\n"
        "from farthing.search.manifest import Analysis\n"
        f"assert Analyzer(Analysis()).terms({text!r})\n"
        "print('rjieba' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert done.stdout.strip() == str(imported)


def test_an_unknown_language_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(CatalogueInvalid, match=r"Name one of .*english.*, or none\."):
        Analyzer(Analysis(language="klingon"))


def test_a_text_of_ten_megabytes_costs_no_more_than_its_beginning() -> None:
    text = "washing machine 64gb " * 500_000
    assert peak_bytes(text) < 2 * peak_bytes(text[:CHARACTERS_MAX])
    terms = english.terms(text)
    assert len(terms) == TERMS_MAX
    assert terms[:4] == ["wash", "machin", "64gb", "64"]


def peak_bytes(text: str) -> int:
    """The most memory that is taken while the text is taken apart."""
    tracemalloc.start()
    try:
        english.terms(text)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_query_of_ten_thousand_words_asks_for_its_first_distinct_terms() -> None:
    terms = english.query_terms("a red red shirt " + " ".join(f"x{n}" for n in range(10_000)))
    assert terms[:5] == ["red", "shirt", "x0", "x", "0"]
    assert len(terms) == QUERY_TERMS_MAX == len(set(terms))


def test_endless_words_are_cut_and_distinct_ones_do_not_fill_memory() -> None:
    assert english.terms("b" * 1000) == ["b" * TERM_CHARACTERS_MAX]
    assert all(len(term) <= TERM_CHARACTERS_MAX for term in english.terms("9z" * 1000))
    analyzer = Analyzer(Analysis())
    letters = "bcdfghjklmnpqrstvwxz"
    for first in letters:
        for second in letters:
            analyzer.terms(" ".join(first + second + a + b for a in letters for b in letters))
    assert len(analyzer._stems) <= STEMS_MAX


@given(st.text(max_size=200))
def test_terms_are_found_by_themselves_whatever_the_text(text: str) -> None:
    terms = plain.terms(text)
    assert terms == plain.terms(text)
    for term in terms:
        assert term
        assert not any(character.isspace() for character in term)
        term.encode()


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=100))
def test_letter_case_changes_nothing(text: str) -> None:
    assert english.terms(text) == english.terms(text.upper()) == english.terms(text.lower())
