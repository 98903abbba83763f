"""What serving loads: an answerer for each index, and one that ranks what a request brings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.errors import SettingsError
from farthing.search.addresses import index_addresses
from farthing.search.embedders import Embedders
from farthing.search.errors import IndexMissing
from farthing.search.local_copy import materialise
from farthing.search.opening import Verification
from farthing.search.publishing import read_manifest
from farthing.search.reranking import DocumentRanker
from farthing.search.searcher import IndexAnswerer
from farthing.search.tiered import open_engine
from farthing.search.watching import WatchedIndex
from farthing.storage import LocalStorage, local_folder

if TYPE_CHECKING:
    from pathlib import Path

    from farthing.search.engine import Engine
    from farthing.search.manifest import IndexManifest
    from farthing.serving.ports import Answerer
    from farthing.settings import Settings


def open_indexes(task: str, settings: Settings) -> list[Answerer]:
    """An answerer of the task for every index, the default first, and a ranker of documents.

    Raises `IndexMissing` where there is none, `EmbedderMismatch` where the bundle that built one
    is not among `settings.models`, and whatever else is wrong with an index.
    """
    addresses = index_addresses(settings)
    if not addresses:
        raise IndexMissing(
            f"FARTHING_INDEX names no index to search, and {settings.indexes} holds none. Build "
            "one with `farthing index build FILE --id COLUMN --text COLUMN --out DIR`, and set "
            "FARTHING_INDEX to its folder."
        )
    _check_writes(addresses, settings)
    embedders = Embedders(settings)
    indexes = [_open_index(task, address, embedders, settings) for address in addresses]
    names = [index.name for index in indexes]
    if len(set(names)) < len(names):
        raise SettingsError(
            f"FARTHING_INDEX has indexes of the same name: {', '.join(names)}. Requests could not "
            "tell them apart; leave one out, or build it again with another --name."
        )
    first = indexes[0].engine
    return [*indexes, DocumentRanker(first.embedder, first.manifest.analysis)]


def _open_index(task: str, address: str, embedders: Embedders, settings: Settings) -> IndexAnswerer:
    folder = materialise(address, settings.index_cache)
    # Two cores do both at once, and a start is as long as the longer.
    verification = Verification(folder, read_manifest(LocalStorage(folder)))
    embedder = embedders.of(verification.manifest)
    verified = verification.finish()

    def open_again(folder: Path, verified: IndexManifest | None = None) -> Engine:
        room_mb = settings.disk_mb // 2
        return open_engine(address, folder, embedder, cold_mb_max=room_mb, verified=verified)

    watched = WatchedIndex(address, open_again(folder, verified), open_again, settings)
    return IndexAnswerer(task, watched, settings)


def _check_writes(addresses: list[str], settings: Settings) -> None:
    """Raises `SettingsError` where changes are to be applied and could not be served."""
    if settings.index_writes != "apply":
        return
    buckets = [address for address in addresses if local_folder(address) is None]
    if buckets or settings.host not in {"local", "knative"}:
        raise SettingsError(
            "FARTHING_INDEX_WRITES is apply, which is for one long-lived server and an index in a "
            "folder of its own. Set it to queue, and let the indexer apply what waits."
        )
