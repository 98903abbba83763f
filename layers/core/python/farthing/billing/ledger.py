"""The ledger's words: our entries, the provider's records, signed roots, and who keeps them.

All three are only ever appended. An entry is named by its writer and number, so delivering it
again changes nothing; what a caller sends names nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Protocol

import msgspec

from farthing.billing.tariff import Tariff
from farthing.billing.tenants import BudgetStore
from farthing.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Kind = Literal["answer", "refusal", "idle", "ping"]
# What a database takes as a key and a number; anything else is no entry of ours.
Name = Annotated[str, msgspec.Meta(pattern=r"^[\x21-\x7e]{0,512}\Z")]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class Entry(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """One attempt as its instance saw it, in integers; amounts are derived from it.

    `writer` is one process's random name and `number` counts its entries from 1, so a gap shows.
    `tenant` is who the cost is booked to; a refusal's, a ping's and idle time's is `house`. `plan`
    names the terms of the price, "" for at cost; `price_max_pico` is set where a budget's end
    capped it.
    Its JSON is what receipts are made of, and leaves defaults out: a field that entries learn later
    changes none that was sealed before.
    `unleased` was answered while the budgets' store was down, and is charged to them on replay.
    """

    writer: Name
    number: Count
    function: str
    request_id: str
    at_ms: Count
    tenant: Name
    kind: Kind
    task: str = ""
    model: str = ""
    status: int = 200
    plan: str = ""
    lease: Name = ""
    unleased: bool = False
    price_max_pico: int | None = None
    usage: Usage
    tariff: Tariff

    @property
    def key(self) -> tuple[str, int]:
        return self.writer, self.number

    @property
    def is_named_by_work(self) -> bool:
        """Whether it is a shard's or a job's (`batch-…`, `job_…`), rather than a process's n-th.

        The ledger keeps one of it, however often the work is done, and one call of a platform may
        do several.
        """
        return "-" in self.writer or "_" in self.writer


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One attempt as the provider recorded it: a REPORT line, a request log, a pod's life.

    `source` names the line among redelivered copies (log stream and event id, say). Durations are
    what the provider states, in nanoseconds; `billed_ms` is its own rounding. Absent is None.
    """

    source: str
    function: str
    request_id: str
    at_ms: Count
    billed_ms: int
    duration_ns: int
    init_ns: int = 0
    restore_ns: int | None = None
    memory_mb: int
    max_memory_mb: int | None = None
    status: str = "success"


class Root(msgspec.Struct, frozen=True, kw_only=True):
    """The signed Merkle root of a tenant's entries of one hour, chained to the one before.

    `covers` are the entries in it: (writer, first, last) ranges of numbers, of this tenant's.
    `previous` is the SHA-256 of the tenant's root before; 64 zeros for the first.
    """

    tenant: str
    hour: str
    sequence: int
    count: int
    covers: tuple[tuple[str, int, int], ...]
    root: str
    previous: str
    key_id: str
    signed_at_ms: int
    signature: str


class Ledger(Protocol):
    """Keeps what is appended. Every method may raise `StoreUnavailable`."""

    def append(self, entries: Iterable[Entry], /) -> None:
        """Keeps the entries; those that are there already (writer, number) stay as they are.

        In SQL all or none; in DynamoDB page by page, so that after an error some may be kept.
        """

    def entries(
        self, since_ms: int, until_ms: int, /, *, tenant: str | None = None
    ) -> Iterator[Entry]:
        """Entries with `since_ms <= at_ms < until_ms`, each once, by time, writer and number."""

    def append_records(self, records: Iterable[Record], /) -> None:
        """Keeps the provider's records; those of a `source` that is there stay as they are."""

    def records(self, since_ms: int, until_ms: int, /) -> Iterator[Record]:
        """Records with `since_ms <= at_ms < until_ms`, each once, by time and source."""

    def append_root(self, root: Root, /) -> bool:
        """Keeps a tenant's next root; False if its (tenant, sequence) is taken."""

    def roots(self, *, tenant: str | None = None) -> Iterator[Root]:
        """Roots by tenant and sequence."""

    def mark(self, name: str, /) -> str:
        """A reader's place, as it was last set; "" at first."""

    def set_mark(self, name: str, value: str, /) -> None:
        """Remembers a reader's place: how far a log was read, say."""


class Store(Ledger, BudgetStore, Protocol):
    """What a ledger's address opens: the ledger, and the budgets beside it."""

    def close(self) -> None:
        """Gives back connections and files."""
