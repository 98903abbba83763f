"""A student's body: chosen layers of a pretrained BERT over a part of its vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional
from transformers import BertConfig, BertModel

from farthing.errors import StartupError
from farthing.forge.distil.trim import trim_embeddings
from farthing.forge.quietly import quietly

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tokenizers import Tokenizer

    from farthing.forge.pretrained import Pretrained
    from farthing.forge.tuning import History

HEAD_FILE = "head.safetensors"


class NoSuchLayers(StartupError):
    """A student asks for layers that its source does not have."""


class Trained(NamedTuple):
    """A trained encoder or classifier, its tokenizer and how the training went."""

    model: Any
    tokenizer: Tokenizer
    history: History


class Seen(NamedTuple):
    """Logits [texts, labels], sentence vectors of length 1 [texts, width], and, where they were
    asked for, the attention maps of the last layer [texts, heads, tokens, tokens].
    """

    logits: torch.Tensor
    vectors: torch.Tensor
    attention: torch.Tensor | None


class StudentClassifier(nn.Module):  # type: ignore[misc]
    """A linear head on the mean of the tokens' vectors, scaled to length 1.

    The sources are sentence encoders that were trained to be read so; a head on the first token
    has to teach them anew (after one epoch on banking77 0.70 were right).
    """

    def __init__(self, bert: BertModel, labels: tuple[str, ...]) -> None:
        super().__init__()
        self.bert = bert
        self.labels = labels
        self.head = nn.Linear(bert.config.hidden_size, len(labels))

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, *, maps: bool = False) -> Seen:
        """What the student makes of padded token ids, both [texts, tokens]."""
        seen = self.bert(input_ids=ids, attention_mask=mask, output_attentions=maps)
        vectors = mean_pooled(seen.last_hidden_state.float(), mask)
        scores = self.head(vectors)
        return Seen(scores.float(), vectors, seen.attentions[-1].float() if maps else None)

    def save(self, folder: Path) -> None:
        """Writes config.json, model.safetensors and head.safetensors."""
        self.bert.config.id2label = dict(enumerate(self.labels))
        self.bert.config.label2id = {label: number for number, label in enumerate(self.labels)}
        self.bert.save_pretrained(folder)
        save_file(self.head.state_dict(), folder / HEAD_FILE)


def read_head(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight [labels, width] and bias [labels] of a saved student."""
    head = load_file(folder / HEAD_FILE)
    return head["weight"], head["bias"]


def mean_pooled(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean over the tokens that are there, scaled to length 1: [texts, width]."""
    weights = mask[:, :, None].float()
    return functional.normalize((hidden * weights).sum(1) / weights.sum(1), dim=-1)


def student_encoder(
    pretrained: Pretrained, layers: int | tuple[int, ...], keep: Sequence[int], max_tokens: int
) -> BertModel:
    """Those layers of `pretrained` and rows `keep` of its word table, not yet tuned."""
    numbers = chosen_layers(pretrained, layers)
    config = BertConfig.from_pretrained(
        pretrained.folder,
        # Soft targets and invented texts keep a student from learning rows by heart; dropout took
        # a sixth of the training's time.
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    with quietly():
        student: BertModel = BertModel.from_pretrained(
            pretrained.folder, config=config, add_pooling_layer=False, use_safetensors=True
        )
    student.encoder.layer = nn.ModuleList(student.encoder.layer[number] for number in numbers)
    student.config.num_hidden_layers = len(numbers)
    trim_embeddings(student, keep, max_tokens)
    return student


def chosen_layers(pretrained: Pretrained, layers: int | tuple[int, ...]) -> tuple[int, ...]:
    """Numbers of the source's layers that a student keeps, in order.

    :raises NoSuchLayers: if the source is no BERT or has fewer layers.
    """
    kind, there = pretrained.config.get("model_type"), pretrained.config.get("num_hidden_layers", 0)
    if kind != "bert":
        raise NoSuchLayers(
            f"A student takes its first weights from a BERT; {pretrained.folder.name} is "
            f"{kind or 'of no stated kind'}. Name a BERT, such as all-MiniLM-L6-v2, in [source]."
        )
    numbers = tuple(range(layers)) if isinstance(layers, int) else layers
    if not numbers or sorted(set(numbers)) != list(numbers) or not 0 <= numbers[-1] < there:
        raise NoSuchLayers(
            f"A student of the layers {list(numbers)} was asked for; {pretrained.folder.name} has "
            f"0 to {there - 1}. Name some of these in ascending order, or a number up to {there}."
        )
    return numbers


def parameters(module: nn.Module) -> int:
    """The number of weights."""
    return sum(parameter.numel() for parameter in module.parameters())
