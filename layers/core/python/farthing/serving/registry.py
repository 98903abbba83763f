"""The functions there are: what each serves and which layer answers it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from farthing.serving.contracts.classify import Classify
from farthing.serving.contracts.embeddings import Embeddings

if TYPE_CHECKING:
    from farthing.serving.ports import Contract


class Function(NamedTuple):
    """The loader is named, not imported: loading is the layer's work, and has its weight."""

    contract: Contract
    loader_module: str
    loader_name: str


FUNCTIONS = {
    "classify": Function(Classify(), "farthing.inference.tasks", "open_models"),
    "embed": Function(Embeddings(), "farthing.inference.tasks", "open_models"),
}
