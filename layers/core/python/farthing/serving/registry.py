"""The functions there are: what each serves and which layer answers it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from farthing.serving.contracts.classify import Classify
from farthing.serving.contracts.embeddings import Embeddings
from farthing.serving.contracts.index import Index
from farthing.serving.contracts.rerank import Rerank, TeiRerank
from farthing.serving.contracts.search import Search

if TYPE_CHECKING:
    from farthing.serving.ports import Contract


class Function(NamedTuple):
    """Direct invocations and events are for the first contract; `bundle_task` is what the
    function's models do.

    The loader is named, not imported: loading is the layer's work, and has its weight.
    """

    contracts: tuple[Contract, ...]
    bundle_task: str
    loader_module: str
    loader_name: str

    @property
    def contract(self) -> Contract:
        return self.contracts[0]


FUNCTIONS = {
    "classify": Function((Classify(),), "classify", "farthing.inference.tasks", "open_models"),
    "embed": Function((Embeddings(),), "embed", "farthing.inference.tasks", "open_models"),
    "search": Function(
        (Search(), Rerank("2"), Rerank("1"), TeiRerank(), Index()),
        "embed",
        "farthing.search.answerers",
        "open_indexes",
    ),
}


def scopes() -> list[str]:
    """What a key may be limited to, beside everything: the contracts' tasks, and `usage`."""
    tasks = {contract.task for one in FUNCTIONS.values() for contract in one.contracts}
    return [*sorted(tasks), "usage"]
