"""Entries as lines of the platform's log, and how they are read back.

A line begins with `farthing1 ` and is a JSON array. What entries have in common is said once, as a
numbered word, and said again every 1,000 entries and every 5 minutes, so that whoever reads on from
the middle of a log, with an overlap of 10 minutes, understands all of it:

    farthing1 ["8f3a51c09be2d774",1,{…an entry without what is below…}]
    farthing1 ["8f3a51c09be2d774",2,"<lease>"]
    farthing1 [{…a whole entry, of work that may be done again under the same name…}]
    farthing1 ["8f3a51c09be2d774",17,1,2,1795305600123,"<request id>",12,1503221]

The last is an entry too: writer, number, the word of its kind, the word of its lease (0: none),
at_ms, request_id, prompt_tokens, busy_ns; then, up to the last that is there, truncated, init_ns,
price_max_pico (null, unless a bound capped the price) and cached_tokens.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from farthing.billing.copies import call_in_copies
from farthing.billing.ledger import Entry
from farthing.billing.recorders.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

VERSION = "1"
PREFIX = f"farthing{VERSION} ".encode()
STDOUT = 1
REPEAT_ENTRIES = 1000
REPEAT_MS = 300_000
# A process that has met so many kinds and leases forgets them; numbers are not used twice.
WORDS_MAX = 4096
UNWRITTEN_MAX = 1000
# What the members at a line's end are where it does not say them.
ABSENT = (0, 0, None, 0)
# What log services put before a line: a time, and a stream's name or the container runtime's mark.
LINE = re.compile(r"(?:\d{4}-\d\d-\d\dT\S+ (?:std(?:out|err) F |\S+ )?)?farthing(\d+) (\[.*)", re.S)
# And the members in which they put the line itself, where they write JSON.
MEMBERS = ("message", "record", "log", "content")

log = logging.getLogger("farthing")


class LineRecorder:
    """Writes each entry as one line of standard output, by one write, so that lines stay whole."""

    def __init__(self, write: Callable[[bytes], int] = lambda line: os.write(STDOUT, line)) -> None:
        self._write_some = write
        self._begin()
        call_in_copies(self._begin)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._writer: Writer | None = None
        self._words: dict[Entry | str, int] = {}
        self._last_word = 0
        self._said: set[int] = set()
        self._said_ms = 0
        self._unwritten: deque[bytes] = deque(maxlen=UNWRITTEN_MAX)

    @property
    def is_full(self) -> bool:
        """Whether the log refused the last line, which is kept and tried again with the next."""
        return bool(self._unwritten)

    def record(self, *, key: tuple[str, int] | None = None, **fields: Any) -> None:
        writer, number = key or ("", 0)
        entry = Entry(writer=writer, number=number, **fields)
        usage = entry.usage
        with self._lock:
            if key is not None:
                # Others write under the same name, and their words would be taken for ours.
                self._write([entry])
                return
            if self._writer is None:
                self._writer = Writer()
            number = self._writer.next_number()
            if number % REPEAT_ENTRIES == 0 or not 0 <= entry.at_ms - self._said_ms < REPEAT_MS:
                self._said.clear()
                self._said_ms = entry.at_ms
            kind = self._word(self._writer.name, _kind_of(entry))
            lease = self._word(self._writer.name, entry.lease) if entry.lease else 0
            values = [self._writer.name, number, kind, lease, entry.at_ms, entry.request_id]
            values += [usage.prompt_tokens, usage.busy_ns]
            rare = [usage.truncated, usage.init_ns, entry.price_max_pico, usage.cached_tokens]
            while rare and rare[-1] == ABSENT[len(rare) - 1]:
                rare.pop()
            self._write(values + rare)

    def close(self) -> None:
        """Has nothing more to say: every line is written as its entry is recorded."""

    def _word(self, writer: str, value: Entry | str) -> int:
        """The word's number, which has been said by the time that this returns."""
        number = self._words.get(value)
        if number is None:
            if len(self._words) == WORDS_MAX:
                self._words.clear()
            self._last_word += 1
            number = self._words[value] = self._last_word
        if number not in self._said:
            self._said.add(number)
            self._write([writer, number, value])
        return number

    def _write(self, values: list[Any]) -> None:
        self._unwritten.append(PREFIX + msgspec.json.encode(values) + b"\n")
        try:
            while self._unwritten:
                line = self._unwritten[0]
                while line:
                    line = line[self._write_some(line) :]
                self._unwritten.popleft()
        except OSError as error:
            if len(self._unwritten) == 1:
                log.error("an entry could not be written to the log: %s", type(error).__name__)


class Unread(msgspec.Struct):
    """What could not be read: how many lines were cut or of another version, and which entries
    (writer, number) came without their words, as those from before an overlap do."""

    broken: int = 0
    wordless: list[tuple[str, int]] = msgspec.field(default_factory=list)


class _Word(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    writer: str
    number: int
    value: Entry | str


class _Said(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    writer: str
    number: int
    kind: int
    lease: int
    at_ms: int
    request_id: str
    prompt_tokens: int
    busy_ns: int
    truncated: int = 0
    init_ns: int = 0
    price_max_pico: int | None = None
    cached_tokens: int = 0


def read_lines(lines: Iterable[str | bytes], unread: Unread | None = None) -> Iterator[Entry]:
    """The entries among a log's lines, whatever else stands there and in whatever order.

    A line that occurs twice gives its entry twice, of which a ledger keeps one. Entries are held
    back until their words have come. Nothing raises: `unread` counts what could not be read.
    """
    unread = Unread() if unread is None else unread
    words: dict[tuple[str, int], Entry | str] = {}
    waiting: dict[tuple[str, int], list[_Said]] = {}
    for line in lines:
        try:
            found = _parse(line)
        except ValueError:
            unread.broken += 1
            continue
        if isinstance(found, Entry):
            yield found
            continue
        if isinstance(found, _Word):
            words[found.writer, found.number] = found.value
            ready = waiting.pop((found.writer, found.number), [])
        else:
            ready = [] if found is None else [found]
        for said in ready:
            missing = [
                (said.writer, word)
                for word in (said.kind, said.lease)
                if word and (said.writer, word) not in words
            ]
            if missing:
                waiting.setdefault(missing[0], []).append(said)
                continue
            entry = _entry(said, words)
            if entry is None:
                unread.broken += 1
            else:
                yield entry
    unread.wordless += [(said.writer, said.number) for kept in waiting.values() for said in kept]


def _parse(line: str | bytes) -> Entry | _Word | _Said | None:
    """What the line says; None for somebody else's. Raises `ValueError` for a broken one."""
    text = line.decode("utf-8", "replace") if isinstance(line, bytes) else line
    if "farthing" not in text:
        return None
    if text.startswith("{"):
        text = _unwrapped(text)
    match = LINE.match(text)
    if match is None:
        return None
    if match[1] != VERSION:
        raise ValueError
    values = msgspec.json.decode(match[2])
    if len(values) == 1:
        return msgspec.convert(values[0], Entry)
    if len(values) == len(_Word.__struct_fields__):
        return msgspec.convert(values, _Word)
    return msgspec.convert(values, _Said)


def _unwrapped(text: str) -> str:
    """The line within a log service's JSON object; "" where there is none."""
    try:
        wrapper = msgspec.json.decode(text)
    except ValueError:
        return ""
    return next((wrapper[name] for name in MEMBERS if isinstance(wrapper.get(name), str)), "")


def _kind_of(entry: Entry) -> Entry:
    """What the entry has in common with others: all but what its line states."""
    usage = replace(
        entry.usage, prompt_tokens=0, truncated=0, busy_ns=0, init_ns=0, cached_tokens=0
    )
    return replace(entry, request_id="", at_ms=0, lease="", price_max_pico=None, usage=usage)


def _entry(said: _Said, words: dict[tuple[str, int], Entry | str]) -> Entry | None:
    """The entry that a kind and its line make; None where a word is not what it was used as."""
    kind = words[said.writer, said.kind]
    lease = words[said.writer, said.lease] if said.lease else ""
    if not isinstance(kind, Entry) or not isinstance(lease, str):
        return None
    usage = replace(
        kind.usage,
        prompt_tokens=said.prompt_tokens,
        truncated=said.truncated,
        busy_ns=said.busy_ns,
        init_ns=said.init_ns,
        cached_tokens=said.cached_tokens,
    )
    return replace(
        kind,
        writer=said.writer,
        number=said.number,
        request_id=said.request_id,
        at_ms=said.at_ms,
        lease=lease,
        price_max_pico=said.price_max_pico,
        usage=usage,
    )
