"""Parts put together into bundles that are not yet measured."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from farthing.forge import pack
from farthing.forge.distil.vocabulary import bare_tokenizer
from farthing.forge.quantise.calibrate import Seen, observe, token_batches
from farthing.inference.bundle import TOKENIZER_FILE
from farthing.inference.tokenizer import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.forge.export.graph import Graph
    from farthing.forge.quantise.schemes import QuantisationPlan
    from farthing.forge.recipe import Recipe

CALIBRATION_TEXTS = 600
CALIBRATION_BATCH = 32


def assemble(
    folder: Path, graph: Graph, tokenizer_from: Path, description: pack.Description
) -> None:
    """A bundle of these parts in `folder`, whole or not at all."""
    tokenizer = bare_tokenizer(tokenizer_from / TOKENIZER_FILE)
    with tempfile.TemporaryDirectory() as temporary:
        built = Path(temporary) / "bundle"
        pack.write_parts(built, graph, tokenizer)
        pack.write_manifest(built, description)
        pack.publish(built, folder)


def described(
    recipe: Recipe, labels: tuple[str, ...], dims: int, plan: QuantisationPlan | None
) -> pack.Description:
    """What the manifest of a recipe's bundle says before anything is measured.

    :param plan: None for a linear model, which is written in one way.
    """
    return pack.Description(
        name=recipe.name,
        task=recipe.task,
        labels=labels,
        pooling=recipe.pooling,
        normalize=recipe.normalize,
        max_tokens=recipe.max_tokens,
        dims=dims,
        quantisation=msgspec.to_builtins(plan) if plan else {},
        licence=recipe.licence,
        origin=recipe.origin,
    )


def activations(
    graph: Graph, tokenizer: Path, texts: Sequence[str], max_tokens: int
) -> dict[str, Seen]:
    """What enters the products of `graph` on up to 600 of the texts, evenly drawn."""
    drawn = texts[:: max(1, len(texts) // CALIBRATION_TEXTS)][:CALIBRATION_TEXTS]
    encoded = Tokenizer(tokenizer, max_tokens).encode(drawn)
    return observe(graph, token_batches([text.ids for text in encoded], CALIBRATION_BATCH))
