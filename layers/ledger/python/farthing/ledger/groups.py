"""CloudWatch log groups, read from where the last run came to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from farthing.ledger.settlement.events import from_answer
from farthing.ledger.settlement.reading import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farthing.billing.ledger import Store
    from farthing.ledger.settlement.events import LogEvent

# Lines come late, and a function says again every five minutes what its lines abbreviate.
OVERLAP_MS = 10 * 60_000
FIRST_MS = 24 * 3_600_000
SLICE_MS = 3_600_000
SLICE_MIN_MS = 10_000
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
PATTERN = '?"REPORT RequestId" ?"platform.report" ?farthing1'


class LogsClient(Protocol):
    """The one call of boto3's CloudWatch Logs client that reading makes."""

    exceptions: Any

    def filter_log_events(self, **asked: Any) -> Any: ...


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """What a run read of a group, again what lies within the overlap; `finished` unless its time
    ran out before the end."""

    entries: int
    records: int
    faults: int
    finished: bool


class LogGroup:
    """One log group. Its mark in the ledger holds until when it was read and the length of the next
    slice, in milliseconds: half as long after one that was too long for a run, else twice."""

    def __init__(self, client: LogsClient, name: str) -> None:
        self._client = client
        self._name = name

    def read(self, store: Store, now_ms: int, has_time: Callable[[], bool]) -> Read:
        """Reads slice after slice into the ledger; the mark moves with each that is whole."""
        mark = f"log/{self._name}"
        until, _, length = store.mark(mark).partition(" ")
        done_ms = int(until) if until else now_ms - FIRST_MS
        slice_ms = int(length or SLICE_MS)
        reader = Reader(store)
        while done_ms < now_ms and has_time():
            end_ms = min(now_ms, done_ms + slice_ms)
            start_ms = max(0, done_ms - OVERLAP_MS)
            pages = Pages(self._client, self._name, start_ms, end_ms, has_time)
            reader.read(pages.events())
            if not pages.finished:
                store.set_mark(mark, f"{done_ms} {max(SLICE_MIN_MS, slice_ms // 2)}")
                break
            done_ms, slice_ms = end_ms, min(SLICE_MS, slice_ms * 2)
            store.set_mark(mark, f"{done_ms} {slice_ms}")
        return Read(
            entries=reader.entries,
            records=reader.records,
            faults=reader.faults.count + reader.unread.broken,
            finished=done_ms >= now_ms,
        )


class Pages:
    """The pages of one slice of time, as long as there is time to ask for them."""

    def __init__(
        self,
        client: LogsClient,
        group: str,
        start_ms: int,
        end_ms: int,
        has_time: Callable[[], bool],
    ) -> None:
        self.finished = False
        self._client = client
        self._group = group
        self._asked = {"startTime": start_ms, "endTime": end_ms, "filterPattern": PATTERN}
        self._has_time = has_time

    def events(self) -> Iterator[LogEvent]:
        """The events of all pages; none of a group that its function has not begun yet."""
        try:
            yield from self._pages()
        except self._client.exceptions.ResourceNotFoundException:
            self.finished = True

    def _pages(self) -> Iterator[LogEvent]:
        token: dict[str, str] = {}
        while self._has_time():
            page = self._client.filter_log_events(logGroupName=self._group, **self._asked, **token)
            yield from from_answer(self._group, page.get("events", ()))
            if not page.get("nextToken"):
                self.finished = True
                return
            token = {"nextToken": page["nextToken"]}
