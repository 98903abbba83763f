"""Where the indexes of a process lie: those that its settings name, or those that ship."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.search.manifest import MANIFEST_FILE

if TYPE_CHECKING:
    from farthing.settings import Settings


def index_addresses(settings: Settings) -> list[str]:
    """Folders and bucket addresses; the first is the default. None where there is no index.

    A name is that of a folder in `settings.indexes`; anything else is an address as it stands.
    """
    if settings.index:
        return [_address(one, settings) for one in settings.index]
    return [str(file.parent) for file in sorted(settings.indexes.glob(f"*/{MANIFEST_FILE}"))]


def _address(named: str, settings: Settings) -> str:
    shipped = settings.indexes / named
    return str(shipped) if (shipped / MANIFEST_FILE).is_file() else named
