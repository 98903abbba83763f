"""An index as serving sees it: searches it, and writes to it where it may be written to."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from farthing.errors import (
    FileArchived,
    FileMissing,
    Forbidden,
    InvalidRequest,
    StartupError,
    StorageUnavailable,
)
from farthing.search.errors import IndexUnavailable
from farthing.search.filters import Where
from farthing.search.watching import start_thread
from farthing.serving import limits
from farthing.serving.ports import Changed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from farthing.search.changes import Change
    from farthing.search.engine import Engine, Found, Prepared, Tiers
    from farthing.search.watching import Opened, WatchedIndex
    from farthing.settings import Settings

log = logging.getLogger("farthing")

RETRY_AFTER_S = "5"


class Job(Protocol):
    """Work that knows how it is done."""

    @property
    def tokens(self) -> int: ...
    @property
    def truncated(self) -> int: ...

    def run(self) -> Any: ...


class IndexAnswerer:
    """Answers from the version of the index that is current when a request comes."""

    def __init__(self, task: str, index: WatchedIndex, settings: Settings) -> None:
        self.task = task
        self.name = index.current().engine.name
        self._index = index
        self._settings = settings
        self._work_folder = settings.index_cache / "work"
        self._writing = threading.Lock()

    @property
    def engine(self) -> Engine:
        """The engine of the current version."""
        return self._index.current().engine

    def describe(self) -> dict[str, object]:
        """What a list of models says of this index."""
        manifest = self.engine.manifest
        return {
            "task": self.task,
            "documents": manifest.documents,
            "version": manifest.version,
            "published_at": manifest.created_at,
            "bytes": sum(segment.bytes for segment in manifest.segments),
            "fields": [field.name for field in manifest.fields],
            "filters": {each.name: each.kind for each in manifest.filters},
            "embedder": {"name": manifest.embedder.name, "digest": manifest.embedder.digest},
            "licence": manifest.licence,
            "origin": manifest.origin,
        }

    def prepare(self, texts: Sequence[str]) -> Job:
        """The texts as one plain search."""
        return self.prepare_search(" ".join(texts))

    def prepare_search(
        self,
        query: str,
        *,
        top_k: int = 10,
        where: Mapping[str, Any] | None = None,
        mode: str = "default",
        explain: bool = False,
        tiers: Tiers = "auto",
    ) -> Job:
        """A search of the current version. Raises `FilterUnknown`."""
        opened = self._index.current()
        narrowed = Where.parse(dict(where), opened.engine.manifest.filters) if where else None
        prepared = opened.engine.prepare(query)
        return Search(opened, prepared, top_k, narrowed, mode, explain, tiers, self._settings)

    def prepare_change(self, upserts: Sequence[Mapping[str, Any]], deletes: Sequence[str]) -> Job:
        """The documents to put in and the ids to take out, checked against the index's columns.

        Counts the tokens of the documents, whoever embeds them later. Raises `Forbidden` where
        the settings let nobody write, `DocumentInvalid`, and `InvalidRequest` for an id that is to
        be put in and taken out at once.
        """
        if self._settings.index_writes == "off":
            raise Forbidden(
                "This service takes no changes of its indexes. Whoever runs it turns them on with "
                "FARTHING_INDEX_WRITES, set to queue or apply."
            )
        # Writers' code, which a search does without.
        from farthing.search.changes import Delete, Upsert, checked
        from farthing.search.documents import embedded_text

        engine = self.engine
        asked = [Upsert(dict(columns)) for columns in upserts]
        documents = [checked(engine.manifest, upsert) for upsert in asked]
        both = {document.id for document in documents} & {key.strip() for key in deletes}
        if both:
            raise InvalidRequest(
                f"{len(both)} ids are among the upserts and among the deletes. Leave each in one."
            )
        texts = [embedded_text(document) for document in documents]
        embedded = engine.embedder.prepare(texts)
        changes: list[Change] = [*asked, *(Delete(key) for key in deletes)]
        run = self._queue if self._settings.index_writes == "queue" else self._apply
        return ChangeJob(changes, embedded.tokens, embedded.truncated, run)

    def compute(self, work: Job, *, before_batch: Callable[[int], None] | None = None) -> Any:
        """What the search found, or what became of the change."""
        if before_batch is not None:
            before_batch(work.tokens)
        return work.run()

    def _queue(self, changes: Sequence[Change]) -> Changed:
        from farthing.search.writes import submit

        try:
            return Changed(len(changes), receipt=submit(self._index.storage, changes))
        except (StartupError, OSError) as error:
            raise self._unavailable(error) from None

    def _apply(self, changes: Sequence[Change]) -> Changed:
        from farthing.search.compaction import worn
        from farthing.search.updates import apply

        try:
            with self._writing:
                storage, embedder = self._index.storage, self.engine.embedder
                manifest = apply(storage, self._work_folder, embedder, changes).manifest
        except (StartupError, OSError) as error:
            raise self._unavailable(error) from None
        self._index.look(wait=True)
        if worn(manifest.segments):
            # Beside the calls: none of them owes what all of them left.
            start_thread(self._tend)
        return Changed(len(changes), version=manifest.version)

    def _tend(self) -> None:
        from farthing.search.publishing import read_manifest
        from farthing.search.upkeep import tend

        try:
            with self._writing:
                storage = self._index.storage
                tend(storage, self._work_folder, read_manifest(storage))
        except (StartupError, OSError) as error:
            log.error("index %s is not compacted: %s", self.name, error)
        self._index.look(wait=True)

    def _unavailable(self, error: Exception) -> IndexUnavailable:
        """The refusal for the caller; what is wrong with the storage is for the operator."""
        log.error("index %s takes no change: %s", self.name, error)
        return IndexUnavailable(
            "The index cannot be written to just now, and nothing was changed. Try again later.",
            retry_after=RETRY_AFTER_S,
        )


class Search(NamedTuple):
    """One search of one version, which stays open for it."""

    opened: Opened
    prepared: Prepared
    top_k: int
    where: Where | None
    mode: str
    explain: bool
    tiers: Tiers
    settings: Settings

    @property
    def tokens(self) -> int:
        return self.prepared.tokens

    @property
    def truncated(self) -> int:
        return self.prepared.truncated

    def run(self) -> Found:
        """The best hits.

        Raises `AnswerTooLarge` where their documents do not fit an answer, and `IndexUnavailable`
        where cold segments that were asked for cannot be brought.
        """
        try:
            found = self.opened.engine.search(
                self.prepared,
                top_k=self.top_k,
                where=self.where,
                mode="bm25" if self.mode == "bm25" else "default",
                explain=self.explain,
                tiers=self.tiers,
            )
        except (FileArchived, FileMissing, StorageUnavailable) as error:
            log.error("index %s has no cold segments: %s", self.opened.engine.name, error)
            raise IndexUnavailable(
                "The index's cold segments cannot be brought just now. Ask again later, or for "
                '"tiers": "hot".',
                retry_after=RETRY_AFTER_S,
            ) from None
        limits.check_results_fit(found.hits, "ask for a smaller top_k", self.settings)
        return found


class ChangeJob(NamedTuple):
    """A change, and the way that the settings choose for it."""

    changes: Sequence[Change]
    tokens: int
    truncated: int
    way: Callable[[Sequence[Change]], Changed]

    def run(self) -> Changed:
        return self.way(self.changes)
