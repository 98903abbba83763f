"""An index opened for a command, with the embedder that built it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.search.addresses import index_addresses
from farthing.search.embedders import Embedders
from farthing.search.engine import Engine
from farthing.search.local_copy import materialise
from farthing.search.publishing import read_manifest
from farthing.storage import open_storage

if TYPE_CHECKING:
    from farthing.settings import Settings


def open_index(settings: Settings) -> Engine:
    """The engine of the settings' first index, fetched first where it lies in a bucket.

    Raises `IndexMissing` where there is none, and what else opening it may.
    """
    folder = materialise(index_addresses(settings)[0], settings.index_cache)
    manifest = read_manifest(open_storage(str(folder)))
    return Engine.open(folder, Embedders(settings).of(manifest))
