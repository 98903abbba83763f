"""An engine that answers from hot segments, and asks the cold ones where those do not suffice."""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import TYPE_CHECKING, Self

from farthing.errors import FileArchived, FileMissing, StorageUnavailable
from farthing.search.cold import ColdSegments
from farthing.search.engine import LEXICAL_ROWS, Engine
from farthing.search.opening import (
    check_embedder,
    open_segments,
    read_local_manifest,
    read_ranking,
)
from farthing.storage import local_folder, open_storage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from farthing.inference.tasks import Embedder
    from farthing.search.engine import Found, Mode, Prepared, Tiers
    from farthing.search.filters import Where
    from farthing.search.manifest import IndexManifest, SegmentEntry
    from farthing.search.ranking import Ranking
    from farthing.search.segments import Segment

    Cold = Callable[[SegmentEntry], Segment]

# Of 100,573 titles, 8 in 100 hot: with 0.9 nDCG@10 of queries for cold ones is 0.836 of 0.846, and
# 36 in 100 of those for hot ones ask cold segments; with 0.8 it is 0.808, and 22.
COVERED_SHARE = 0.9
log = logging.getLogger("farthing")


def open_engine(
    address: str,
    folder: Path,
    embedder: Embedder,
    *,
    cold_mb_max: int,
    verified: IndexManifest | None = None,
) -> Engine:
    """An engine of the index at `address`, of which `folder` has a copy, or which is `folder`.

    Beside a copy up to about `cold_mb_max` megabytes of cold segments are kept once they were
    asked for. `verified` and what it raises are as of `Engine.open`.
    """
    manifest = read_local_manifest(folder)
    if local_folder(address) is not None or all(each.tier == "hot" for each in manifest.segments):
        return Engine.open(folder, embedder, verified=verified)
    aside = folder.with_name(f"{folder.name}-cold")
    cold = ColdSegments(open_storage(address), manifest, aside, mb_max=cold_mb_max)
    return TieredEngine.open(folder, embedder, verified=verified, cold=cold)


class TieredEngine(Engine):
    """`cold` opens a cold segment that is not at hand; see `cold.ColdSegments`."""

    def __init__(
        self,
        manifest: IndexManifest,
        embedder: Embedder,
        segments: list[Segment],
        ranking: Ranking,
        cold: Cold | None = None,
    ) -> None:
        super().__init__(manifest, embedder, segments, ranking)
        at_hand = {segment.facts.id for segment in segments}
        self._segments = segments
        self._absent = [entry for entry in manifest.segments if entry.id not in at_hand]
        self._cold = cold

    @classmethod
    def open(
        cls,
        folder: Path,
        embedder: Embedder,
        *,
        verified: IndexManifest | None = None,
        cold: Cold | None = None,
    ) -> Self:
        """The index in a local folder, with what opens its segments that are not there.

        Raises as `Engine.open` does.
        """
        manifest = read_local_manifest(folder)
        check_embedder(manifest, embedder)
        segments = open_segments(folder, manifest, verified)
        return cls(manifest, embedder, segments, read_ranking(folder, manifest), cold)

    def close(self) -> None:
        super().close()
        self._segments = []

    def search(
        self,
        query: str | Prepared,
        *,
        top_k: int = 10,
        where: Where | None = None,
        mode: Mode = "default",
        explain: bool = False,
        tiers: Tiers = "auto",
    ) -> Found:
        """As `Engine.search`; a stage `cold` is what bringing cold segments took.

        `auto` asks them where hot ones have fewer than `top_k` hits, or none that has the query's
        words; where they cannot be brought, the hot ones' answer stands. With `all` that
        raises `FileArchived`, `StorageUnavailable`, or `IndexMissing` for a version so old that
        its files were removed.
        """
        found = None
        asks_cold = self._cold is not None and bool(self._absent) and tiers != "hot"
        if tiers != "all" or not asks_cold:
            found = super().search(query, top_k=top_k, where=where, mode=mode, explain=explain)
            text = query if isinstance(query, str) else query.query
            if not asks_cold or (len(found.hits) >= top_k and self._covers(text)):
                return found
        began_ns = time.perf_counter_ns()
        try:
            whole = self._whole()
        except (FileArchived, FileMissing, StorageUnavailable) as error:
            if found is None:
                raise
            log.warning("index %s answers from hot segments alone: %s", self.name, error)
            return found
        spent = Counter(found.stages_ns if found else {})
        spent["cold"] = time.perf_counter_ns() - began_ns
        again = whole.search(query, top_k=top_k, where=where, mode=mode, explain=explain)
        return again._replace(stages_ns=dict(spent + Counter(again.stages_ns)))

    def _whole(self) -> Engine:
        """All segments, for one search: to hold them longer would undo the bound of `cold`."""
        cold = [self._cold(entry) for entry in self._absent] if self._cold else []
        return Engine(self.manifest, self.embedder, [*self._segments, *cold], self.ranking)

    def _covers(self, query: str) -> bool:
        """Whether one hot document has the query's words, by their weight."""
        asked = self._recall.ask(query)
        rows = self._recall.by_words(asked, LEXICAL_ROWS, None)
        if not len(rows.rows):
            return False
        has = self._recall.words(asked, rows).counts.any(axis=1)  # (rows, terms)
        weights = asked.facts.idf  # (terms,)
        return bool((has @ weights).max() >= COVERED_SHARE * weights.sum())
