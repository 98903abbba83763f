"""An encoder is tuned so that a query lies near what answers it.

The loss is the cross entropy of picking a query's document among all documents of the batch
(M. Henderson et al., "Efficient Natural Language Response Suggestion for Smart Reply" (2017),
section 4.4), with one misleading document for each query. A document that answers several queries
of the batch is held against none of them.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from farthing.forge.batches import padded, token_rows
from farthing.forge.distil.sentences import vectors
from farthing.forge.distil.students import Trained, mean_pooled, student_encoder
from farthing.forge.distil.vocabulary import bare_tokenizer, prune, reachable_ids
from farthing.forge.tuning import Run, tune

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.progress import Progress
    from tokenizers import Tokenizer
    from transformers import BertModel

    from farthing.forge.batches import Rows
    from farthing.forge.plans import RelevancePlan
    from farthing.forge.pretrained import Pretrained
    from farthing.forge.recipe import Recipe
    from farthing.forge.relevance.judged import Judged, Search


def tune_encoder(
    recipe: Recipe,
    plan: RelevancePlan,
    source: Pretrained,
    judged: Judged,
    state: Path,
    progress: Progress,
) -> Trained:
    """The whole source, tuned on the training searches.

    Validation accuracy is the mean reciprocal rank of a query's first answer among its own
    answers and misleading documents.
    """
    full = bare_tokenizer(source.tokenizer_path)
    keep = reachable_ids(full)
    tokenizer = prune(full, keep)
    model = student_encoder(source, source.config["num_hidden_layers"], keep, recipe.max_tokens)
    pairs = _pairs(judged.train, plan, recipe.training.seed)
    queries = token_rows(tokenizer, [search.query for search in judged.train], recipe.max_tokens)
    shown = sorted({number for _, right, wrong in pairs for number in (right, wrong)})
    texts = token_rows(tokenizer, [judged.documents[n] for n in shown], recipe.max_tokens)
    documents = dict(zip(shown, texts, strict=True))

    def embedded(rows: Rows) -> torch.Tensor:
        ids, mask = padded(rows)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=recipe.training.bfloat16):
            hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
        return mean_pooled(hidden.float(), mask)

    def loss(part: list[int]) -> torch.Tensor:
        batch = [pairs[number] for number in part]
        offered = [right for _, right, _ in batch] + [wrong for _, _, wrong in batch]
        asked = embedded([queries[search] for search, _, _ in batch])
        likeness = asked @ embedded([documents[number] for number in offered]).T
        return functional.cross_entropy(
            likeness / plan.temperature + _excused(judged.train, batch, offered),
            torch.arange(len(batch)),
        )

    def first_answers() -> float:
        return _mean_reciprocal_rank(model, tokenizer, judged, recipe.max_tokens)

    lengths = [len(queries[search]) + len(documents[right]) for search, right, _ in pairs]
    run = Run(nn.ModuleDict({"encoder": model}), lengths, loss, first_answers)
    history = tune(run, recipe.training, state, progress, "learn from judged searches")
    return Trained(model, tokenizer, history)


def _pairs(
    searches: Sequence[Search], plan: RelevancePlan, seed: int
) -> list[tuple[int, int, int]]:
    """Number of a search, one of its answers and one misleading document: all drawn by the seed."""
    generator = random.Random(seed)  # noqa: S311 - it shuffles, it guards nothing
    pairs = []
    for number, search in enumerate(searches):
        count = min(plan.answers, len(search.relevant))
        for right in generator.sample(search.relevant, count):
            wrong = generator.choice(search.misleading) if search.misleading else right
            pairs.append((number, right, wrong))
    return pairs


def _excused(
    searches: Sequence[Search], batch: Sequence[tuple[int, int, int]], offered: Sequence[int]
) -> torch.Tensor:
    """Minus infinity where an offered document answers a query other than as its own pair."""
    excused = torch.zeros(len(batch), len(offered))
    for row, (number, _, _) in enumerate(batch):
        answers = set(searches[number].relevant)
        for column, document in enumerate(offered):
            if column != row and document in answers:
                excused[row, column] = -torch.inf
    return excused


def _mean_reciprocal_rank(
    model: BertModel, tokenizer: Tokenizer, judged: Judged, max_tokens: int
) -> float:
    """0 to 1; 0 where no search was held out."""
    shown = sorted({n for one in judged.valid for n in (*one.relevant, *one.misleading)})
    if not shown:
        return 0.0
    places = {number: place for place, number in enumerate(shown)}
    texts = [judged.documents[number] for number in shown]
    held = vectors(model, token_rows(tokenizer, texts, max_tokens))
    queries = [search.query for search in judged.valid]
    asked = vectors(model, token_rows(tokenizer, queries, max_tokens))
    ranks = []
    for search, query in zip(judged.valid, asked, strict=True):
        offered = [places[number] for number in (*search.relevant, *search.misleading)]
        order = np.argsort(-(held[offered] @ query), kind="stable")
        ranks.append(1 + int(np.argmax(order < len(search.relevant))))
    return float(np.mean([1 / rank for rank in ranks]))
