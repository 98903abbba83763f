"""Text to token ids, cut to the model's window."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import tokenizers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Tokens(NamedTuple):
    """Ids of one text, special tokens included, and whether the window cut it."""

    ids: list[int]
    was_truncated: bool


class Tokenizer:
    """A fast tokenizer read from a `tokenizer.json`; `max_tokens` counts special tokens."""

    def __init__(self, file: Path, max_tokens: int) -> None:
        self._tokenizer = tokenizers.Tokenizer.from_file(str(file))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        """One `Tokens` per text, in order."""
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        return [Tokens(encoding.ids, bool(encoding.overflowing)) for encoding in encodings]
