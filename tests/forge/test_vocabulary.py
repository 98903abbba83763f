"""A pruned tokenizer splits what it kept as before, and loses nothing to [UNK]."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("torch")

from farthing.forge.distil.vocabulary import (
    bare_tokenizer,
    prune,
    reachable_ids,
    used_ids,
)

if TYPE_CHECKING:
    from pathlib import Path

TITLES = ["washing machine white", "fridge 60cm", "phoning a phone"]


def test_texts_of_kept_pieces_are_split_as_before(tiny: Path) -> None:
    full = bare_tokenizer(tiny / "tokenizer.json")
    keep = used_ids(full, TITLES)
    pruned = prune(full, keep)
    assert pruned.get_vocab_size() == len(keep) < full.get_vocab_size()
    for text in [*TITLES, "white phone", "x100", ""]:
        before, after = full.encode(text), pruned.encode(text)
        assert after.tokens == before.tokens
        assert [keep[number] for number in after.ids] == before.ids


def test_a_lost_word_is_spelt_not_unknown(tiny: Path) -> None:
    full = bare_tokenizer(tiny / "tokenizer.json")
    pruned = prune(full, used_ids(full, TITLES))
    assert "camera" in full.encode("camera").tokens
    assert pruned.encode("camera").tokens == [
        "[CLS]",
        "c",
        "##a",
        "##m",
        "##e",
        "##r",
        "##a",
        "[SEP]",
    ]


def test_rare_pieces_go_when_asked(tiny: Path) -> None:
    full = bare_tokenizer(tiny / "tokenizer.json")
    kept = {full.id_to_token(number) for number in used_ids(full, TITLES, min_count=2)}
    assert "phone" not in kept
    assert {"a", "##a", "[PAD]", "[UNK]"} <= kept


def test_placeholders_that_no_text_can_give_are_unreachable(tiny: Path) -> None:
    full = bare_tokenizer(tiny / "tokenizer.json")
    lost = set(full.get_vocab()) - {full.id_to_token(number) for number in reachable_ids(full)}
    assert lost == {"[unused0]"}


def test_padding_stays_id_0_because_the_runtime_pads_with_0(tiny: Path) -> None:
    full = bare_tokenizer(tiny / "tokenizer.json")
    assert prune(full, used_ids(full, TITLES)).token_to_id("[PAD]") == 0


def test_special_tokens_cannot_be_pruned(tiny: Path) -> None:
    full = bare_tokenizer(tiny / "tokenizer.json")
    with pytest.raises(ValueError, match=r"would drop the special tokens \['\[PAD\]'"):
        prune(full, range(10, 20))
