"""A WordPiece tokenizer cut down to the pieces a set of texts needs."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def bare_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer without its own padding and truncation: whoever runs it sets them."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def used_ids(tokenizer: Tokenizer, texts: Sequence[str], min_count: int = 1) -> list[int]:
    """The sorted ids of the pieces that a student of `texts` keeps.

    These are the special tokens, every piece that occurs at least `min_count` times in `texts`,
    and every single character of ASCII or of `texts`, alone and as a `##` continuation: with them
    greedy WordPiece still spells a word whose own piece is gone. Other scripts become unknown; a
    student that never saw them would not know what they say, either.
    """
    counts: Counter[int] = Counter()
    for encoding in tokenizer.encode_batch(list(texts)):
        counts.update(encoding.ids)
    keep = {number for number, count in counts.items() if count >= min_count}
    keep.update(tokenizer.get_added_tokens_decoder())
    characters = {chr(code) for code in range(128)}.union(*texts)
    keep.update(
        number
        for piece, number in tokenizer.get_vocab().items()
        if piece.removeprefix("##") in characters
    )
    return sorted(keep)


def reachable_ids(tokenizer: Tokenizer) -> list[int]:
    """The sorted ids that some text can give: all but the `[unused…]` placeholders.

    A WordPiece tokenizer splits at brackets before it looks words up, so no text gives those.
    """
    return sorted(
        number
        for piece, number in tokenizer.get_vocab().items()
        if not (piece.startswith("[unused") and piece.endswith("]"))
    )


def prune(tokenizer: Tokenizer, keep: Sequence[int]) -> Tokenizer:
    """A tokenizer whose piece `i` is the old piece `keep[i]`.

    Texts made of kept pieces are split exactly as before; only the numbers change.

    :raises ValueError: if the model is not WordPiece or a special token would be lost.
    """
    description: dict[str, Any] = json.loads(tokenizer.to_str())
    model = description["model"]
    if model["type"] != "WordPiece":
        raise ValueError(
            f"Only WordPiece vocabularies can be pruned, this tokenizer is {model['type']}; "
            "start the recipe from a BERT model."
        )
    new_ids = {old: new for new, old in enumerate(keep)}
    lost = [t["content"] for t in description["added_tokens"] if t["id"] not in new_ids]
    if lost:
        raise ValueError(f"Pruning would drop the special tokens {lost}; add their ids to keep.")
    pieces = {number: piece for piece, number in model["vocab"].items()}
    model["vocab"] = {pieces[old]: new for old, new in new_ids.items()}
    for token in description["added_tokens"]:
        token["id"] = new_ids[token["id"]]
    for token in description["post_processor"]["special_tokens"].values():
        token["ids"] = [new_ids[old] for old in token["ids"]]
    return Tokenizer.from_str(json.dumps(description))
