"""The rows of a trace file: what each tells of a call, and what is wrong with the others."""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import math
import zlib
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from farthing.planning.errors import PlanningError
from farthing.planning.traffic import US_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

TIMES = ("timestamp", "time", "ts", "at", "date", "datetime", "end_timestamp")
COUNTS = ("calls", "count", "requests", "value")
DURATIONS = ("duration_ms", "busy_ms", "latency_ms", "ms")
TOKENS = ("tokens", "prompt_tokens", "total_tokens")
IDS = ("request_id", "id")
ROWS_MAX = 5_000_000
LINE_CHARS_MAX = 10_000_000
COUNT_MAX = 10_000_000_000
GZIP = b"\x1f\x8b"
KEY_BYTES = 8
DURATION_MS_MAX = 900_000
TOKENS_MAX = 10_000_000
US_PER_MS = 1000
# Epochs are told apart by size: seconds have ten digits until 2286, and each unit three more.
EPOCH_UNITS = ((1e11, 1e6), (1e14, 1e3), (1e17, 1.0), (math.inf, 1e-3))


class Rows:
    """What was read so far, and what was wrong with the rest.

    With `key`, the column of that name tells which calls are equal, and `keys` has a hash of each
    call's, 8 bytes as a number; the column itself is not kept. With `series`, rows of only a time
    and a number are intervals and how many calls came in each: `counts`.
    """

    def __init__(self, *, key: str | None = None, series: bool = False) -> None:
        self.calls: list[tuple[int, int, int]] = []
        self.keys: list[int] = []
        self.counts: list[tuple[int, int]] = []
        self.seen: set[str] = set()
        self.bad = 0
        self.bad_line = 0
        self.bad_why = ""
        self.repeated = 0
        self.key = key
        self._series = series

    def take(self, line: int, row: dict[str, Any]) -> None:
        try:
            at_us = _instant_us(_of(row, TIMES))
            if self._series and len(row) == 2 and _of(row, COUNTS) is not None:
                self.counts.append((at_us, _count(row)))
                return
            duration_us = _number(row, DURATIONS, DURATION_MS_MAX, US_PER_MS)
            tokens = _number(row, TOKENS, TOKENS_MAX, 1)
            key = None if self.key is None else _hash_of(row, self.key)
        except ValueError as error:
            self.spoil(line, str(error))
            return
        name = _of(row, IDS)
        if name not in {None, ""}:
            if str(name) in self.seen:
                self.repeated += 1
                return
            self.seen.add(str(name))
        self.calls.append((at_us, duration_us, tokens))
        if key is not None:
            self.keys.append(key)

    def complaints(self) -> list[str]:
        """What a person is told of rows that were not taken; nothing where all were."""
        if not self.bad:
            return []
        first = f"the first is line {self.bad_line}: {self.bad_why}."
        return [f"{self.bad:,} bad rows were left out, {first}"]

    def spoil(self, line: int, why: str) -> None:
        self.bad += 1
        if self.bad == 1:
            self.bad_line, self.bad_why = line, why


def read_file(file: Path, rows: Rows) -> None:
    """Fills `rows` from a file of CSV, tabs or JSON lines, which may be packed by gzip.

    Raises `PlanningError` where it is no such file, or more bad rows than good ones were found.
    """
    try:
        with file.open("rb") as raw:
            packed = raw.read(len(GZIP)) == GZIP
        opener = gzip.open if packed else open
        with opener(file, "rt", encoding="utf-8-sig", newline="") as lines:
            read_rows(iter(lambda: lines.readline(LINE_CHARS_MAX), ""), rows)
    except (OSError, EOFError, UnicodeDecodeError, zlib.error):
        raise PlanningError(
            f"The trace {file} cannot be read as text. Give a CSV or JSON-lines file."
        ) from None
    good = len(rows.calls) + len(rows.counts)
    if rows.bad > good:
        raise PlanningError(
            f"Of the trace's rows {rows.bad} are bad and {good} good; the first bad one is "
            f"line {rows.bad_line}: {rows.bad_why}. Each row needs a column timestamp, ISO 8601 or "
            "an epoch."
        )


def read_rows(lines: Iterable[str], rows: Rows) -> None:
    """Fills `rows` from CSV or JSON lines. Raises `PlanningError` for neither, or for too many."""
    numbered = enumerate(lines, 1)
    first = next(((line, text) for line, text in numbered if text.strip()), None)
    if first is None:
        return
    reader = _json_rows if first[1].lstrip().startswith("{") else _csv_rows
    for line, row in reader(itertools.chain([first], numbered), rows):
        if line > ROWS_MAX:
            raise PlanningError(
                f"The trace has more than {ROWS_MAX:,} lines. Give a part of it; it is scaled."
            )
        rows.take(line, row)


def _json_rows(
    numbered: Iterable[tuple[int, str]], rows: Rows
) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, text in numbered:
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            yield line, row
        else:
            rows.spoil(line, "it is no JSON object")


def _csv_rows(
    numbered: Iterable[tuple[int, str]], rows: Rows
) -> Iterator[tuple[int, dict[str, Any]]]:
    header: list[str] | None = None
    between = ","
    for line, text in numbered:
        if header is None and "\t" in text.strip():
            between = "\t"
        try:
            cells = next(csv.reader([text], delimiter=between), [])
        except csv.Error:
            rows.spoil(line, "it is no CSV")
            continue
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = [cell.strip().lower() for cell in cells]
            if set(header) & set(TIMES):
                _require_key(rows, header)
                continue
            if len(header) > 1:
                raise PlanningError(
                    f"The trace's first line names no column of {', '.join(TIMES)}. Name the "
                    "columns in it, as CSV."
                )
            header = ["timestamp"]
        yield line, dict(zip(header, cells, strict=False))


def _require_key(rows: Rows, header: list[str]) -> None:
    """CSV has its columns in lower case, so the key's name is too."""
    if rows.key is None:
        return
    rows.key = rows.key.strip().lower()
    if rows.key not in header:
        raise PlanningError(
            f"The trace has no column {rows.key}; it has {', '.join(header)}. Name the one that "
            "tells which calls are equal."
        )


def _of(row: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((row[name] for name in names if name in row), None)


def _instant_us(value: Any) -> int:
    """Microseconds since 1970. Raises `ValueError` with what is wrong."""
    if value is None or value == "" or isinstance(value, bool):
        raise ValueError("it has no timestamp")
    try:
        number = float(value)
    except (TypeError, ValueError):
        try:
            moment = datetime.fromisoformat(str(value).strip())
        except ValueError:
            raise ValueError("its timestamp is neither ISO 8601 nor an epoch") from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return round(moment.timestamp() * US_PER_S)
    if not math.isfinite(number) or number < 0:
        raise ValueError("its timestamp is negative or no number")
    factor = next(factor for below, factor in EPOCH_UNITS if number < below)
    return round(number * factor)


def _count(row: dict[str, Any]) -> int:
    try:
        count = float(_of(row, COUNTS))
    except (TypeError, ValueError):
        count = math.nan
    if not (0 <= count <= COUNT_MAX and count == int(count)):
        raise ValueError(f"its number of calls is not whole and from 0 to {COUNT_MAX:,}")
    return int(count)


def _hash_of(row: dict[str, Any], column: str) -> int:
    value = row.get(column)
    if value is None or value == "":
        raise ValueError(f"it has no {column}")
    told = str(value).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(told, digest_size=KEY_BYTES).digest(), "big")


def _number(row: dict[str, Any], names: tuple[str, ...], most: int, factor: int) -> int:
    """The column's number times the factor, 0 where there is none."""
    value = _of(row, names)
    if value is None or value == "":
        return 0
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= most:
        raise ValueError(f"its {names[0]} is not from 0 to {most:,}")
    return round(number * factor)
