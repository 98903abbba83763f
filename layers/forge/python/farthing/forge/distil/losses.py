"""What a student is told: softened labels, given labels, the teacher's vectors and attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from transformers import BertModel

NO_LABEL = -1


def soft_loss(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """T² · KL(teacher ‖ student) of the logits softened by T: Hinton et al. (2015), section 2.

    The factor keeps the gradient's size when the temperature changes.
    """
    divergence = functional.kl_div(
        functional.log_softmax(student / temperature, dim=-1),
        functional.log_softmax(teacher / temperature, dim=-1),
        reduction="batchmean",
        log_target=True,
    )
    return divergence * temperature**2


def given_loss(student: torch.Tensor, label_ids: torch.Tensor) -> torch.Tensor:
    """Cross entropy with the given labels; rows of `NO_LABEL` count as 0, and all may be such."""
    summed = functional.cross_entropy(student, label_ids, ignore_index=NO_LABEL, reduction="sum")
    return summed / len(label_ids)


def vector_loss(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """1 - cosine, averaged over the rows."""
    return 1 - functional.cosine_similarity(student, teacher, dim=-1).mean()


def relation_loss(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of all pairs' cosines within the batch.

    W. Park et al., "Relational Knowledge Distillation" (2019); widths may differ.
    """
    ours = functional.normalize(student, dim=-1)
    theirs = functional.normalize(teacher, dim=-1)
    return functional.mse_loss(ours @ ours.T, theirs @ theirs.T)


def attention_loss(
    student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """KL of the attention maps [rows, heads, tokens, tokens], over the tokens that are there.

    W. Wang et al., "MiniLM" (2020), section 3.1: the last layers' maps.
    """
    ours, theirs = student.clamp_min(1e-7).log(), teacher.clamp_min(1e-7).log()
    by_token = (teacher * (theirs - ours)).sum(-1).mean(1)
    real = mask.float()
    return (by_token * real).sum() / real.sum()


class SourceAttention:
    """The attention maps of the untouched source, for rows of a pruned vocabulary.

    Student piece `i` is the source's piece `keep[i]`, so both read the same tokens.
    """

    def __init__(self, source: BertModel, keep: list[int]) -> None:
        self._source = source.eval()
        self._keep = torch.tensor(keep)

    def __call__(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            seen = self._source(
                input_ids=self._keep[ids], attention_mask=mask, output_attentions=True
            )
        result: torch.Tensor = seen.attentions[-1].clone()
        return result
