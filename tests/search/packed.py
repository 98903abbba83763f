"""Indexes whose files are bytes at random: for what moves files, and does not open them."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

import msgspec

from farthing.inference.bundle import FileDigest
from farthing.search.manifest import (
    Analysis,
    EmbedderFacts,
    Field,
    IndexManifest,
    RankingEntry,
    SegmentEntry,
    SegmentFacts,
)

if TYPE_CHECKING:
    from farthing.search.manifest import Tier
    from farthing.storage import Storage

SIZES = {"vectors.bin": 300_000, "words.bin": 120_000, "documents.bin": 40_000}


def put_segment(storage: Storage, name: str, tier: Tier = "hot", seed: int = 0) -> SegmentEntry:
    """A segment of three files, whose bytes follow from its name and `seed`."""
    chance = random.Random(f"{name}-{seed}")
    contents = {file: chance.randbytes(size) for file, size in SIZES.items()}
    facts = SegmentFacts(
        format=1,
        id=name,
        rows=100,
        dims=8,
        clusters=1,
        probes=1,
        probe_recall=1.0,
        files={file: digest_of(content) for file, content in contents.items()},
    )
    for file, content in contents.items():
        storage.write(f"segments/{name}/{file}", content)
    raw = msgspec.json.encode(facts)
    storage.write(f"segments/{name}/segment.json", raw)
    size = sum(SIZES.values()) + len(raw)
    return SegmentEntry(name, hashlib.sha256(raw).hexdigest(), 100, size, tier=tier)


def put_deletions(storage: Storage, entry: SegmentEntry, content: bytes) -> SegmentEntry:
    """The entry with a file of deletions of its own."""
    digest = digest_of(content)
    file = f"{entry.id}.{digest.sha256[:8]}.bin"
    storage.write(f"deletions/{file}", content)
    return msgspec.structs.replace(entry, deleted=1, deletions=file, deletions_digest=digest)


def put_version(
    storage: Storage, version: int, *segments: SegmentEntry, ranking: bytes = b""
) -> IndexManifest:
    """Publishes a version of these segments, without comparing."""
    entry = None
    if ranking:
        digest = digest_of(ranking)
        entry = RankingEntry(f"{digest.sha256[:8]}.json", digest)
        storage.write(f"ranking/{entry.file}", ranking)
    manifest = IndexManifest(
        format=1,
        name="shop",
        version=version,
        created_at="2026-11-22T05:00:00.000+00:00",
        id_field="id",
        fields=(Field("title"),),
        filters=(),
        stored=("id", "title"),
        analysis=Analysis(),
        embedder=EmbedderFacts("all-minilm-l6-v2", "0" * 64, 8),
        documents=sum(segment.rows for segment in segments),
        terms_mean=(8.0,),
        segments=segments,
        ranking=entry,
    )
    storage.write("manifest.json", msgspec.json.encode(manifest))
    return manifest


def digest_of(content: bytes) -> FileDigest:
    return FileDigest(hashlib.sha256(content).hexdigest(), len(content))
