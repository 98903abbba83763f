"""The embedder of an index: the very bundle that its vectors were made with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.errors import BundleMissing
from farthing.inference.bundle import Bundle, find_bundles, read_manifest
from farthing.inference.tasks import Embedder
from farthing.search.errors import EmbedderMismatch

if TYPE_CHECKING:
    from farthing.search.manifest import IndexManifest
    from farthing.settings import Settings


class Embedders:
    """The bundles of a folder that embed, each loaded once, found by the digest of an index."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folders = {
            read_manifest(folder)[0]: folder for folder, _ in find_bundles(settings.models, "embed")
        }
        self._loaded: dict[str, Embedder] = {}

    def of(self, index: IndexManifest) -> Embedder:
        """The embedder that built the index. Raises `BundleMissing` and `EmbedderMismatch`."""
        wanted = index.embedder
        if not self._folders:
            raise BundleMissing(
                f"{self._settings.models} holds no bundle that embeds; the index {index.name} "
                f"needs {wanted.name}. Build it with `make bundles`, or point FARTHING_MODELS at "
                "a folder that has it."
            )
        if wanted.digest not in self._folders:
            there = ", ".join(
                f"{folder.name} ({digest[:12]})" for digest, folder in self._folders.items()
            )
            raise EmbedderMismatch(
                f"The index {index.name} was built with {wanted.name} ({wanted.digest[:12]}); "
                f"{self._settings.models} has {there}. Deploy the embedder that built it, or build "
                "the index again."
            )
        if wanted.digest not in self._loaded:
            bundle = Bundle.open(self._folders[wanted.digest], self._settings.bundle_digest)
            self._loaded[wanted.digest] = Embedder(bundle, self._settings.threads_per_call)
        return self._loaded[wanted.digest]
