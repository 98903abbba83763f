"""Rows of token ids as tensors: encoded, bucketed by length, padded."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tokenizers import Tokenizer

Rows = list[list[int]]


def seed_everything(seed: int, threads: int) -> None:
    """Same seed, same kind of processor, same number of threads: the same weights."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # Filling fresh memory would find reads of what nobody wrote; it took a tenth of the training.
    torch.utils.deterministic.fill_uninitialized_memory = False


def token_rows(tokenizer: Tokenizer, texts: Sequence[str], max_tokens: int) -> Rows:
    """The token ids of every text, cut to `max_tokens`, special tokens included."""
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    try:
        return [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    finally:
        tokenizer.no_truncation()


def padded(rows: Sequence[Sequence[int]], pad_id: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """`input_ids` padded with `pad_id` and `attention_mask`, both int64 [rows, longest row]."""
    longest = max(len(row) for row in rows)
    ids = torch.full((len(rows), longest), pad_id, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
        mask[number, : len(row)] = 1
    return ids, mask


def length_bucketed(
    lengths: Sequence[int], batch: int, generator: random.Random, pool_batches: int = 50
) -> Iterator[list[int]]:
    """Shuffled batches of row numbers whose rows have similar lengths.

    Rows are sorted only inside pools of `pool_batches` batches: padding almost vanishes, and
    the order stays random enough for stochastic gradients.
    """
    order = list(range(len(lengths)))
    generator.shuffle(order)
    batches: list[list[int]] = []
    pool = batch * pool_batches
    for start in range(0, len(order), pool):
        part = sorted(order[start : start + pool], key=lambda row: lengths[row])
        batches.extend(part[at : at + batch] for at in range(0, len(part), batch))
    generator.shuffle(batches)
    yield from batches


def by_length(rows: Sequence[Sequence[int]], batch: int) -> Iterator[list[int]]:
    """Batches of row numbers, shortest rows first: for answers, where order does not matter."""
    order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
    for start in range(0, len(order), batch):
        yield order[start : start + batch]
