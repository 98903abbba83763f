"""Bundles: written, described by a card, published as a whole, looked into."""

from farthing.forge.pack.publishing import publish
from farthing.forge.pack.writing import (
    UNMEASURED_DRIFT,
    Description,
    Plain,
    file_entry,
    write_licences,
    write_manifest,
    write_parts,
)

__all__ = [
    "UNMEASURED_DRIFT",
    "Description",
    "Plain",
    "file_entry",
    "publish",
    "write_licences",
    "write_manifest",
    "write_parts",
]
