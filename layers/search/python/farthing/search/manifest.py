"""An index's account of itself: which files make up its current version.

    manifest.json                     replaced in one step: that is what publishing means
    segments/ID/segment.json          a segment's own account, with a digest of each of its files
    segments/ID/…                     written once, never changed
    deletions/ID.DIGEST.bin           which rows of a segment are no more, as bits
    ranking/DIGEST.json               the learned ranker, as plain numbers
    writes/RECEIPT.json               what waits to be published
    versions/VERSION.json             manifests of versions that were replaced
    garbage.json                      files that no version needs, and since when

A reader that has opened version 7 goes on answering from it while version 8 is published.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import msgspec

from farthing.formats import decode_versioned
from farthing.inference.bundle import FileDigest, FileName, Sha256
from farthing.search.errors import IndexCorrupt, IndexTooNew

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT = 1
MANIFEST_FILE = "manifest.json"
SEGMENT_FILE = "segment.json"
FIELDS_MAX = 8
FILTERS_MAX = 16

NotNegative = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
SegmentId = Annotated[str, msgspec.Meta(pattern="^[a-z0-9-]{1,40}$")]
Tier = Literal["hot", "cold"]
Account = TypeVar("Account", bound=msgspec.Struct)


class Field(msgspec.Struct, frozen=True):
    """A column whose words are searched; `boost` multiplies its share of a lexical score."""

    name: str
    boost: Annotated[float, msgspec.Meta(gt=0)] = 1.0


class Filter(msgspec.Struct, frozen=True):
    """A column that searches may be narrowed by: exact words, or numbers with ranges."""

    name: str
    kind: Literal["keyword", "number"] = "keyword"


class Analysis(msgspec.Struct, frozen=True):
    """How texts become terms; queries are read as documents were.

    `language` names a Snowball stemmer, or is "none". Chinese, Japanese kanji included, is always
    segmented.
    """

    language: str = "english"
    stop_words: bool = True


class EmbedderFacts(msgspec.Struct, frozen=True):
    """The bundle whose vectors the index holds; any other's would mean something else."""

    name: str
    digest: Sha256
    dims: Positive


class SegmentEntry(msgspec.Struct, frozen=True):
    """One segment in this version: `digest` is of its segment.json, `bytes` of all its files."""

    id: SegmentId
    digest: Sha256
    rows: Positive
    bytes: Positive
    deleted: NotNegative = 0
    deletions: FileName | None = None
    deletions_digest: FileDigest | None = None
    tier: Tier = "hot"


class RankingEntry(msgspec.Struct, frozen=True):
    """The ranker chosen for this index: its file, and by what figures it was chosen."""

    file: FileName
    digest: FileDigest
    report: dict[str, Any] = {}


class IndexManifest(msgspec.Struct, frozen=True):
    """One version of an index.

    `terms_mean` is the mean number of terms of each field over all documents, as BM25 needs it;
    `documents` counts what is not deleted. `stored` are the columns that a hit shows. `applied`
    are the receipts of queued writes that this version holds and whose files may not be gone yet.
    """

    format: int
    name: Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9._-]{0,62}$")]
    version: Positive
    created_at: str
    id_field: str
    fields: Annotated[tuple[Field, ...], msgspec.Meta(min_length=1, max_length=FIELDS_MAX)]
    filters: Annotated[tuple[Filter, ...], msgspec.Meta(max_length=FILTERS_MAX)]
    stored: tuple[str, ...]
    analysis: Analysis
    embedder: EmbedderFacts
    documents: NotNegative
    terms_mean: tuple[float, ...]
    segments: tuple[SegmentEntry, ...]
    ranking: RankingEntry | None = None
    licence: str = ""
    origin: str = ""
    applied: tuple[str, ...] = ()


class SegmentFacts(msgspec.Struct, frozen=True):
    """A segment's own account. Rows are grouped by vector: `clusters` groups, 1 for no grouping.

    `probes` groups, nearest first, hold `probe_recall` of the nearest 100 of a sample of rows.
    """

    format: int
    id: SegmentId
    rows: Positive
    dims: Positive
    clusters: Positive
    probes: Positive
    probe_recall: float
    files: dict[str, FileDigest]


def deletions_of(entry: SegmentEntry) -> Iterator[tuple[str, FileDigest]]:
    """The name of the file of a segment's deletions and what is stated of it, where it has any."""
    if entry.deletions is not None and entry.deletions_digest is not None:
        yield f"deletions/{entry.deletions}", entry.deletions_digest


def files_beside_segments(index: IndexManifest) -> Iterator[tuple[str, FileDigest]]:
    """Deletions and the ranker: names and what the manifest states of them."""
    for entry in index.segments:
        yield from deletions_of(entry)
    if index.ranking is not None:
        yield f"ranking/{index.ranking.file}", index.ranking.digest


def decode_manifest(raw: bytes, where: str) -> IndexManifest:
    """The manifest in the bytes of the file that `where` names.

    Raises `IndexTooNew` for a later format, `IndexCorrupt` for anything that is none.
    """
    return _decode(raw, where, IndexManifest)


def decode_segment(raw: bytes, where: str, digest: str) -> SegmentFacts:
    """The segment's account in the bytes of the file that `where` names.

    Raises `IndexCorrupt` where their SHA-256 is not `digest` or they are no such account,
    `IndexTooNew` for a later format.
    """
    actual = hashlib.sha256(raw).hexdigest()
    if actual != digest:
        raise IndexCorrupt(
            f"{where} has sha256 {actual}; the index's manifest states {digest}. "
            "Restore the file, or build the index again."
        )
    return _decode(raw, where, SegmentFacts)


def _decode(raw: bytes, where: str, kind: type[Account]) -> Account:
    try:
        return decode_versioned(
            raw,
            kind,
            FORMAT,
            lambda found: IndexTooNew(
                f"{where} has index format {found}; this Farthing reads up to {FORMAT}. "
                "Upgrade Farthing, or build the index with this version."
            ),
        )
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise IndexCorrupt(
            f"{where} is not an index's: {error}. Restore the file, or build the index again."
        ) from None
