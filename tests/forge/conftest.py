"""A tiny random BERT: a real model with a real tokenizer, made in a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WORDS = (
    "fridge", "freezer", "washing", "machine", "phone", "camera", "white", "black", "silver",
    "freestanding",
)  # fmt: skip
CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


@pytest.fixture(scope="session")
def saturates(tmp_path_factory: pytest.TempPathFactory) -> bool:
    """Whether this processor's sums of 8-bit products do: those without VNNI, and not ARM's."""
    pytest.importorskip("onnx")
    from farthing.forge.proof.saturation import largest_product
    from farthing.forge.proof.served import saturates

    graph = tmp_path_factory.mktemp("saturation") / "product.onnx"
    graph.write_bytes(largest_product().SerializeToString())
    return saturates(graph)


@pytest.fixture
def need_exact_sums(*, saturates: bool) -> Callable[[int], None]:
    """Call it with a weight's bits: the test skips where sums of such products saturate."""

    def need(bits: int) -> None:
        if saturates and bits == 8:
            pytest.skip("NO VNNI: sums of 8-bit products saturate on this processor")

    return need


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the transformers layout: two layers, width 64, random weights, no network."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    pieces = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    pieces += list(CHARACTERS) + [f"##{character}" for character in CHARACTERS] + ["##ing", "!"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")],
    )
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(3)
    config = transformers.BertConfig(
        vocab_size=len(pieces),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=256,
        max_position_embeddings=32,
        initializer_range=0.3,  # far apart, so that rounding and clipping show
    )
    transformers.BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
