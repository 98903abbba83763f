"""How a bundle turns texts into its graph's inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence, Sized

    from numpy.typing import NDArray

    from farthing.inference.bundle import Bundle


class Encoded(Protocol):
    """One text as a row of the graph's inputs: `ids` are what the row's length is told by."""

    @property
    def ids(self) -> Sized: ...
    @property
    def tokens(self) -> int:
        """What the text counts for, at least 1."""

    @property
    def was_truncated(self) -> bool: ...


class Encoder(Protocol):
    """What stands before the graph."""

    batch_ids_max: int
    """Ids, padding included, up to which texts gain from sharing a run."""

    def encode(self, texts: Sequence[str], /) -> Sequence[Encoded]:
        """One `Encoded` per text, in order, cut to the model's window."""

    def inputs(self, batch: Sequence[Any], /) -> dict[str, NDArray[Any]]:
        """The graph's inputs, each [batch, longest], for what `encode` gave."""

    def normal(self, text: str, /) -> str:
        """The text without what `encode` ignores: equal ones are encoded alike."""

    def unknown_share(self, texts: Sequence[str], /) -> float:
        """How much of the texts the model has no entry for, 0 to 1."""


def open_encoder(bundle: Bundle) -> Encoder:
    """The encoder that the manifest names; its libraries are imported only now."""
    kind, window = bundle.manifest.encoder, bundle.manifest.max_tokens
    if kind == "wordpiece":
        from farthing.inference.tokenizer import Tokenizer

        return Tokenizer(bundle.encoder_file, window)
    from farthing.inference.ngrams import NgramEncoder

    return NgramEncoder(bundle.encoder_file, kind, window)
