"""Embedding tables cut to the rows that can be looked up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import BertModel


def trim_embeddings(model: BertModel, keep: Sequence[int], positions: int) -> None:
    """Keeps rows `keep` of the word table and the first `positions` positions, in place.

    Row `i` of the new word table is row `keep[i]` of the old one: the numbering of
    `vocabulary.prune`. Position tables stay in order, so shorter inputs give what they gave.
    """
    embeddings = model.embeddings
    words = embeddings.word_embeddings.weight.detach()
    places = embeddings.position_embeddings.weight.detach()
    embeddings.word_embeddings = nn.Embedding.from_pretrained(
        words[torch.tensor(keep)].clone(), freeze=False
    )
    embeddings.position_embeddings = nn.Embedding.from_pretrained(
        places[:positions].clone(), freeze=False
    )
    embeddings.position_ids = embeddings.position_ids[:, :positions]
    embeddings.token_type_ids = embeddings.token_type_ids[:, :positions]
    model.config.vocab_size = len(keep)
    model.config.max_position_embeddings = positions
    model.config.pad_token_id = 0
