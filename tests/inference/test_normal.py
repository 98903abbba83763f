"""Texts with one normal form are one text to the model: the cache relies on it."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Library
from tokenizers import normalizers, pre_tokenizers
from tokenizers.models import WordLevel

from farthing.inference.bundle import Bundle, find_bundles
from farthing.inference.encoders import open_encoder
from farthing.inference.tokenizer import Tokenizer
from tests.functions.server import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from farthing.inference.encoders import Encoder

BUNDLES = ("all-minilm-l6-v2", "product-classifier", "retail-banking-intents")
SPACES = [" ", "  ", "\t", "\n", "\r\n", "\x0b", "\x0c", "\u00a0", "\u2003", "\u3000", "\u2028"]
INVISIBLE = ["\x00", "\x01", "\x1c", "\x1f", "\x7f", "\x85", "\u200b", "\u00ad", "\ufeff", "\ufffd"]
SPECIAL = ["[MASK]", "[mask]", "[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MA\x00SK]", "[ MASK]"]
WORDS = [
    "Chair", "CHAIR", "chair", "café", "cafe\u0301", "CAFÉ", "cafe", "İstanbul", "ΟΔΟΣ", "Straße",
    "ſ", "ﬁ", "Ⅸ", "沙发", "沙 发", "sofa", "so-fa", "(so.fa)", "don't", "🙂", "x" * 130, "٣",
    "a_b",
]  # fmt: skip
PIECES = st.one_of(
    st.sampled_from(WORDS + SPACES + INVISIBLE + SPECIAL),
    st.sampled_from(SPACES),
    st.characters(exclude_categories=["Cs"]),
)
TEXTS = st.lists(PIECES, max_size=14).map("".join)


@cache
def encoder_of(name: str) -> Encoder:
    folder = {manifest.name: path for path, manifest in find_bundles(ROOT / "layers/models")}
    return open_encoder(Bundle.open(folder[name]))


def told(encoder: Encoder, text: str) -> tuple[Any, ...]:
    """All that the model learns of a text."""
    (encoded,) = encoder.encode([text])
    counts = getattr(encoded, "counts", ())
    return list(encoded.ids), list(counts), encoded.tokens, encoded.was_truncated


@pytest.mark.parametrize("name", BUNDLES)
@settings(deadline=None, max_examples=200)
@given(text=TEXTS, variation=st.sampled_from(["NFC", "NFD", "NFKC", "lower", "upper", "spaced"]))
def test_equal_forms_mean_equal_inputs(name: str, text: str, variation: str) -> None:
    encoder = encoder_of(name)
    others = {
        "lower": text.lower(),
        "upper": text.upper(),
        "spaced": f"\t{'  '.join(text.split(' '))} ",
    }
    other = others.get(variation) or unicodedata.normalize(variation, text)
    if encoder.normal(text) == encoder.normal(other):
        assert told(encoder, text) == told(encoder, other)


@pytest.mark.parametrize("name", BUNDLES)
@settings(deadline=None, max_examples=200)
@given(text=TEXTS)
def test_a_form_is_encoded_as_its_text_was(name: str, text: str) -> None:
    # Forms of texts with special tokens are no texts that anyone would encode.
    encoder = encoder_of(name)
    form = encoder.normal(text)
    if not form.startswith(" "):
        assert told(encoder, form) == told(encoder, text)


@pytest.mark.parametrize("name", BUNDLES)
def test_every_space_and_every_invisible_character_is_folded_as_the_encoder_does(name: str) -> None:
    encoder = encoder_of(name)
    odd = [
        chr(code)
        for code in range(0x110000)
        if chr(code).isspace() or unicodedata.category(chr(code)) in {"Cc", "Cf", "Zs", "Zl", "Zp"}
    ]
    assert len(odd) > 200
    for character in odd:
        text = f"red{character}oak{character}"
        assert told(encoder, encoder.normal(text)) == told(encoder, text), hex(ord(character))


@pytest.mark.parametrize("name", BUNDLES)
def test_what_a_model_ignores_is_folded(name: str) -> None:
    encoder = encoder_of(name)
    plain = encoder.normal("red oak chair")
    for text in ("Red  OAK chair", " red\toak\nchair ", "RED\u00a0OAK\u2003CHAIR\r\n"):
        assert encoder.normal(text) == plain
    assert encoder.normal("red oak chairs") != plain


@pytest.mark.parametrize("name", BUNDLES)
def test_a_text_that_the_window_cuts_is_another_than_one_that_just_fits(name: str) -> None:
    encoder = encoder_of(name)
    long = "card " * 5_000
    (cut,) = encoder.encode([long])
    assert cut.was_truncated
    beside = encoder.encode(["card"])[0].tokens - 1
    fits = "card " * (cut.tokens - beside)
    (whole,) = encoder.encode([fits])
    assert (whole.tokens, whole.was_truncated) == (cut.tokens, False)
    assert encoder.normal(long) != encoder.normal(fits)


@pytest.mark.parametrize("name", ["all-minilm-l6-v2", "retail-banking-intents"])
def test_a_special_token_is_no_word_in_brackets(name: str) -> None:
    encoder = encoder_of(name)
    forms = {encoder.normal(text) for text in ("a [MASK]", "a [mask]", "A [MASK]", "a  [MASK]")}
    assert len(forms) == 4
    assert told(encoder, "a [MASK]") != told(encoder, "a [mask]")


def library(file: Path, normaliser: Any, splitter: Any) -> Tokenizer:
    tokenizer = Library(WordLevel({"[UNK]": 0, "Red": 1, "red": 2}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normaliser, splitter
    tokenizer.save(str(file))
    return Tokenizer(file, 16)


def test_case_is_kept_where_the_tokenizer_keeps_it(tmp_path: Path) -> None:
    normaliser = normalizers.BertNormalizer(lowercase=False)
    tokenizer = library(tmp_path / "cased.json", normaliser, pre_tokenizers.BertPreTokenizer())
    assert tokenizer.normal("Red") != tokenizer.normal("red")
    assert tokenizer.normal(" Red ") == tokenizer.normal("Red\n")
    assert tokenizer.normal("Réd ") == tokenizer.normal("Réd")


@pytest.mark.parametrize(
    ("normaliser", "splitter"),
    [
        (normalizers.Lowercase(), pre_tokenizers.BertPreTokenizer()),
        (normalizers.BertNormalizer(clean_text=False), pre_tokenizers.BertPreTokenizer()),
        (normalizers.BertNormalizer(), pre_tokenizers.Metaspace()),
        (None, None),
    ],
)
def test_of_other_tokenizers_nothing_is_assumed(
    tmp_path: Path, normaliser: Any, splitter: Any
) -> None:
    tokenizer = library(tmp_path / "other.json", normaliser, splitter)
    forms = {tokenizer.normal(text) for text in ("red", "Red", "red ", " red", "red\t")}
    assert len(forms) == 5
