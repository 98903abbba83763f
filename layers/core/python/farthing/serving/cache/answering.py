"""A model with a cache before it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from farthing.serving.cache.entry import Entry, Schema
from farthing.serving.cache.key import Keys
from farthing.serving.cache.memory import MemoryStore
from farthing.serving.cache.ports import Stats
from farthing.serving.cache.vectors import pack, unpack
from farthing.serving.instance import Counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from farthing.serving.cache.remote import RemoteStore
    from farthing.serving.cache.vectors import Vectors
    from farthing.serving.ports import Rows, TextAnswerer
    from farthing.settings import Settings

MB = 1024 * 1024
# Clocks of machines differ by so much and no more; what is written later than that is a lie.
SKEW_S_MAX = 300


class CachedWork(NamedTuple):
    """Texts by key, of which some are answered already.

    `texts` has each text's key, in order, and `rows` those rows that were kept, as float32 bytes.
    `rest` is the work of the others, each once, None where there is none; `keys` name them in
    its order.
    """

    texts: Sequence[bytes]
    rows: Mapping[bytes, bytes]
    keys: Sequence[bytes]
    rest: Any
    counted: Counted

    @property
    def tokens(self) -> int:
        return self.counted.tokens

    @property
    def truncated(self) -> int:
        return self.counted.truncated


class AnswerCache:
    """Rows by key: those of this process first, then those of a store beside it, if there is one.

    What it holds is checked on its way out, and what does not fit counts as missing. Nothing that
    a store does is an error to a caller.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ttl_s = settings.cache_ttl_s
        self._stats = Stats()
        self._memory = MemoryStore(settings.cache_max_mb * MB)
        self._remote: RemoteStore | None = None
        if settings.cache != "memory":
            from farthing.serving.cache.remote import RemoteStore
            from farthing.serving.cache.stores import store_at

            self._remote = RemoteStore(
                store_at(settings.cache),
                settings.cache_wait_ms / 1000,
                self._stats,
                # What is called singly may be frozen once it has answered, threads and all.
                writes_behind=not (
                    settings.host == "lambda"
                    or (settings.host == "fc" and settings.concurrency == 1)
                ),
            )

    @property
    def is_remote(self) -> bool:
        """Whether asking it may wait for another machine."""
        return self._remote is not None and self._remote.is_asked

    @property
    def stats(self) -> Stats:
        return self._stats

    def over(self, answerer: TextAnswerer, tenant: str) -> CachedAnswerer:
        """The model as a tenant's calls meet it."""
        settings = self._settings
        # Labels are told by their scores, which must be those that the model gives.
        vectors: Vectors = settings.cache_vectors if answerer.task == "embed" else "float32"
        scope = tenant if settings.cache_scope == "tenant" else ""
        return CachedAnswerer(answerer, self, vectors, scope)

    def get(self, keys: Sequence[bytes], schema: Schema) -> dict[bytes, Entry]:
        """What is kept under these keys, each named once."""
        now_s = time.time()
        found = self._checked(keys, self._memory.get_many(keys), schema, now_s)
        if self._remote is not None and len(found) < len(keys):
            missing = [key for key in keys if key not in found]
            values = self._remote.get_many(missing)
            further = self._checked(missing, values, schema, now_s)
            for key, value in zip(missing, values, strict=True):
                if value is not None and key in further:
                    ends_s = further[key].written_s + self._ttl_s
                    self._memory.put_many([(key, value)], min(self._ttl_s, int(ends_s - now_s)))
            self._stats.add(remote_hits=len(further))
            found |= further
        self._stats.add(hits=len(found), misses=len(keys) - len(found))
        return found

    def put(self, entries: Mapping[bytes, Entry], schema: Schema) -> None:
        """Keeps these for the time that was set."""
        pairs = [(key, schema.encode(key, entry)) for key, entry in entries.items()]
        self._memory.put_many(pairs, self._ttl_s)
        if self._remote is not None:
            self._remote.put_many(pairs, self._ttl_s)

    def flush(self, timeout_s: float) -> bool:
        """Whether all that was to be written elsewhere was written or dropped within that time."""
        return self._remote is None or self._remote.flush(timeout_s)

    def close(self) -> None:
        """Gives back memory and connections."""
        self._memory.close()
        if self._remote is not None:
            self._remote.close()

    def _checked(
        self,
        keys: Iterable[bytes],
        values: Iterable[bytes | None],
        schema: Schema,
        now_s: float,
    ) -> dict[bytes, Entry]:
        found: dict[bytes, Entry] = {}
        for key, value in zip(keys, values, strict=True):
            if value is None:
                continue
            entry = schema.decode(key, value)
            if entry is None or entry.written_s > now_s + SKEW_S_MAX:
                self._stats.add(refused=1)
            elif entry.written_s + self._ttl_s <= now_s:
                self._stats.add(expired=1)
            else:
                found[key] = entry
        return found


class CachedAnswerer:
    """Asks the cache before the model; for one tenant."""

    def __init__(
        self, answerer: TextAnswerer, cache: AnswerCache, vectors: Vectors, scope: str
    ) -> None:
        self.answerer = answerer
        self.name, self.task = answerer.name, answerer.task
        self.dims, self.labels, self.digest = answerer.dims, answerer.labels, answerer.digest
        self._cache = cache
        self._vectors = vectors
        self._schema = Schema(vectors, self.dims)
        self._keys = Keys(self.task, self.digest, vectors, scope)

    def prepare(self, texts: Sequence[str]) -> CachedWork:
        normal, key_of = self.answerer.normal, self._keys.of
        keys = [key_of(normal(text)) for text in texts]
        # Equal texts of one call are computed once, and it is the first that counts as computed.
        first = dict(zip(reversed(keys), reversed(texts), strict=True))
        found = self._cache.get(list(first), self._schema)
        missing = [key for key in first if key not in found]
        rest = self.answerer.prepare([first[key] for key in missing]) if missing else None
        counts = {key: (entry.tokens, entry.truncated) for key, entry in found.items()}
        if rest is not None:
            counts.update(zip(missing, rest.counts, strict=True))
        tokens = sum(counts[key][0] for key in keys)
        counted = Counted(
            tokens,
            truncated=sum(counts[key][1] for key in keys),
            cached_tokens=tokens - (rest.tokens if rest is not None else 0),
            cache="miss" if missing else "hit",
        )
        rows = {key: unpack(entry.payload, self._vectors) for key, entry in found.items()}
        return CachedWork(keys, rows, missing, rest, counted)

    def complete(self, work: CachedWork, computed: Rows | None) -> Rows:
        """All rows, in order, of those kept and those computed; the latter are kept from now on."""
        rows = dict(work.rows)
        if computed is not None:
            rows.update(self._keep(work, computed))
        return self.answerer.assemble([rows[key] for key in work.texts], computed)

    def _keep(self, work: CachedWork, computed: Rows) -> dict[bytes, bytes]:
        """The computed rows as they are answered from now on, this time included."""
        now_s = int(time.time())
        rows, entries = {}, {}
        for at, (key, (tokens, truncated)) in enumerate(
            zip(work.keys, work.rest.counts, strict=True)
        ):
            row = computed[at].tobytes()
            payload = pack(row, self._vectors)
            if payload is not None:
                entries[key] = Entry(payload, tokens, truncated, now_s)
                row = unpack(payload, self._vectors)
            rows[key] = row
        self._cache.put(entries, self._schema)
        return rows
