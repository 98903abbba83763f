"""What is wrong with an index, or with a search of one.

StartupError
├── IndexMissing        no index, or one of its files, is where it was asked for
├── IndexCorrupt        a file is not the one that its manifest describes
├── IndexTooNew         the manifest has a later format than this version reads
├── EmbedderMismatch    the index was built with another embedder
├── CatalogueInvalid    a file of documents cannot be indexed as it is
└── BuildStopped        an index is being built by another process
InvalidRequest (422)
├── FilterUnknown       a filter names a field that the index has not
└── DocumentInvalid     a document has not what the index needs of it
Refusal
├── IndexUnavailable (503)        the index, or a part of it, cannot be reached just now
└── VectorStoreUnavailable (503)  the store of the vectors does not answer, or refuses
"""

from __future__ import annotations

from farthing.errors import FileMissing, InvalidRequest, Refusal, StartupError


class IndexMissing(FileMissing):
    """No index, or one of its files, is where it was asked for."""


class IndexCorrupt(StartupError):
    """A file of the index is not the one that its manifest describes."""


class IndexTooNew(StartupError):
    """The manifest has a later format than this version reads."""


class EmbedderMismatch(StartupError):
    """The index was built with another embedder, whose vectors mean something else."""


class CatalogueInvalid(StartupError):
    """A file of documents cannot be indexed as it is."""


class BuildStopped(StartupError):
    """An index is being built by another process."""


class FilterUnknown(InvalidRequest):
    """A filter names a field that the index has not, or compares what cannot be compared."""


class DocumentInvalid(InvalidRequest):
    """A document has not what the index needs of it."""


class IndexUnavailable(Refusal):
    """The index's storage takes no change, or does not give what was asked for, just now."""

    status, code, title = 503, "index-unavailable", "The index cannot be reached"


class VectorStoreUnavailable(Refusal):
    """The store of the index's vectors does not answer, or does not do what it is asked."""

    status, code, title = 503, "vector-store-unavailable", "The vector store does not answer"
