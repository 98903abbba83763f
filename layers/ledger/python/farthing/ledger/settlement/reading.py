"""Reading a log: its entries and the provider's records go into the ledger, in groups."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from farthing.billing.recorders.line import Unread, read_lines
from farthing.ledger.settlement import fc_records, knative_records, lambda_reports
from farthing.ledger.settlement.faults import Faults, Malformed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from farthing.billing.ledger import Entry, Ledger, Record
    from farthing.ledger.settlement.events import LogEvent

GROUP = 500
PARSERS = (lambda_reports.record_of, fc_records.record_of, knative_records.record_of)


class Reader:
    """Reads one log, or several pieces of one in a row, into a ledger.

    What lines mean may depend on lines before them, so a log is read by one reader. Lines that are
    neither entries nor records are passed over; broken ones are in `faults` and `unread`.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.faults = Faults()
        self.unread = Unread()
        self.entries = 0
        self.records = 0
        self._ledger = ledger
        self._entries: list[Entry] = []
        self._records: list[Record] = []
        self._copies: Counter[str] = Counter()
        self._seen: dict[str, Entry] = {}
        self._unplaced: list[tuple[Record, str]] = []

    def read(self, events: Iterable[LogEvent]) -> None:
        """Appends all that the events tell. May raise `StoreUnavailable`; then read them again."""
        for entry in read_lines(self._lines(events), self.unread):
            self._seen[entry.request_id] = entry
            self._entries.append(entry)
            if len(self._entries) >= GROUP:
                self.flush()
        self._place_rest()
        self.flush()

    def flush(self) -> None:
        self._ledger.append(self._entries)
        self._ledger.append_records(self._records)
        self.entries += len(self._entries)
        self.records += len(self._records)
        self._entries, self._records = [], []

    def _lines(self, events: Iterable[LogEvent]) -> Iterator[str]:
        """The lines that may be entries; records are taken out on the way."""
        for event in events:
            try:
                record = self._record(event)
            except Malformed as error:
                self.faults.add(event.place, error)
                continue
            if record is None:
                yield event.message
            else:
                self._place(record, event)

    def _record(self, event: LogEvent) -> Record | None:
        for parse in PARSERS:
            record = parse(event, "")
            if record is not None:
                source = record.source or self._source(event)
                return msgspec.structs.replace(record, source=source)
        return None

    def _source(self, event: LogEvent) -> str:
        """The log's own name of the line, else its content and which of its equals it is."""
        if event.id:
            return f"cloudwatch/{event.id}"
        content = f"{event.function}\n{event.message.strip()}".encode()
        digest = hashlib.sha256(content).hexdigest()[:32]
        self._copies[digest] += 1
        return f"line/{digest}/{self._copies[digest]}"

    def _place(self, record: Record, event: LogEvent) -> None:
        """Keeps a record once its function and time are known: its entry tells both."""
        if not record.at_ms:
            entry = self._seen.get(record.request_id)
            at_ms = entry.at_ms if entry else event.near_ms
            record = msgspec.structs.replace(record, at_ms=at_ms)
        if not record.function:
            entry = self._seen.get(record.request_id)
            if entry is None:
                self._unplaced.append((record, event.place))
                return
            record = msgspec.structs.replace(record, function=entry.function)
        self._records.append(record)
        if len(self._records) >= GROUP:
            self.flush()

    def _place_rest(self) -> None:
        """Records that came before their entry, or that have none: a log of one function is its."""
        functions = {entry.function for entry in self._seen.values()}
        only = functions.pop() if len(functions) == 1 else ""
        for record, place in self._unplaced:
            entry = self._seen.get(record.request_id)
            function = entry.function if entry else only
            if function:
                self._records.append(msgspec.structs.replace(record, function=function))
            else:
                self.faults.add(place, "the log does not tell which function this is a record of")
        self._unplaced = []
