"""A batch's file read once, before anything is computed: what is wrong with it, and its shards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from farthing.batch.openai.lines import (
    CUSTOM_ID_CHARS_MAX,
    METHOD,
    Slice,
    read_line,
    split_lines,
)
from farthing.serving.batches.objects import LineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from farthing.batch.openai.lines import Line, Texts

# OpenAI's own limit.
REQUESTS_MAX: Final = 50_000
# More say nothing new.
ERRORS_MAX: Final = 100
# A shard's answers are held in memory, and computed within an invocation.
SHARD_TEXTS_MAX: Final = 1024
SHARD_BYTES_MAX: Final = 8 * 1024 * 1024
MISSING: Final = "missing_required_parameter"
# What is around a request's body in its line.
LINE_FRAME_BYTES_MAX: Final = 4096

Count = Annotated[int, msgspec.Meta(ge=0)]


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """How a file is cut into shards; `model` is the one that it names, if any."""

    requests: Count
    model: str | None
    line_bytes_max: Count
    slices: tuple[Slice, ...]


class Surveyor:
    """Reads lines one after the other. A file with any error is not computed at all."""

    def __init__(self, endpoint: str, body_bytes_max: int) -> None:
        self._endpoint = endpoint
        self._line_bytes_max = body_bytes_max + LINE_FRAME_BYTES_MAX
        self._seen: set[str] = set()
        self._model: object = None
        self._slices: list[Slice] = []
        self._open: list[Line] = []
        self._open_texts = 0
        self._requests = 0
        self._errors: list[LineError] = []

    def read(self, pieces: Iterable[bytes]) -> Survey:
        """The shards. Raises `Unusable`."""
        for line in split_lines(pieces, self._line_bytes_max):
            self._requests += 1
            if self._requests > REQUESTS_MAX:
                message = f"The file has more than {REQUESTS_MAX} requests. Send several files."
                self._note(_Wrong("too_many_tasks", message))
                break
            self._add(line)
            if len(self._errors) >= ERRORS_MAX:
                break
        if not self._requests:
            message = "The file has no request. Send one a line, as JSON."
            self._note(_Wrong("empty_file", message))
        if self._errors:
            raise Unusable(self._errors)
        self._close()
        return Survey(
            requests=self._requests,
            model=self._model if isinstance(self._model, str) else None,
            line_bytes_max=self._line_bytes_max,
            slices=tuple(self._slices),
        )

    def _add(self, line: Line) -> None:
        try:
            texts = self._texts_of(line)
        except _Wrong as wrong:
            self._note(wrong, line.number)
            return
        size_bytes = line.end - (self._open[0].start if self._open else line.start)
        is_full = self._open_texts + texts.count > SHARD_TEXTS_MAX or size_bytes > SHARD_BYTES_MAX
        if self._open and is_full:
            self._close()
        self._open.append(line._replace(raw=None))
        self._open_texts += texts.count

    def _texts_of(self, line: Line) -> Texts:
        """What the line asks for. Raises `_Wrong` where it is no request of this batch."""
        if line.raw is None:
            raise _Wrong("line_too_long", "The line is longer than a request may be.")
        asked = read_line(line.raw)
        if asked is None:
            raise _Wrong("invalid_json_line", "The line is no JSON object, in UTF-8.")
        name = asked.custom_id
        if not isinstance(name, str) or not 1 <= len(name) <= CUSTOM_ID_CHARS_MAX:
            message = f"The request needs a custom_id of 1 to {CUSTOM_ID_CHARS_MAX} characters."
            raise _Wrong(MISSING, message, "custom_id")
        if name in self._seen:
            message = "The custom_id is that of an earlier line. Give every request its own."
            raise _Wrong("duplicate_custom_id", message, "custom_id")
        self._seen.add(name)
        if asked.method != METHOD:
            raise _Wrong("invalid_method", "The method is not POST.", "method")
        if asked.url != self._endpoint:
            message = f"The url is not the batch's endpoint, {self._endpoint}."
            raise _Wrong("url_mismatch", message, "url")
        texts = asked.read_texts()
        if texts is None:
            message = "The request has no body, or one that is no JSON object."
            raise _Wrong(MISSING, message, "body")
        if self._requests == 1:
            self._model = texts.model
        if texts.model != self._model:
            message = "The model is not that of the first line. Send a file for each model."
            raise _Wrong("model_mismatch", message, "body.model")
        return texts

    def _close(self) -> None:
        """Makes a shard of the open lines."""
        first, last = self._open[0], self._open[-1]
        number = len(self._slices)
        self._slices.append(Slice(number, first.start, last.end, first.number, len(self._open)))
        self._open, self._open_texts = [], 0

    def _note(self, wrong: _Wrong, line: int | None = None) -> None:
        error = LineError(code=wrong.code, message=wrong.message, param=wrong.param, line=line)
        self._errors.append(error)


class Unusable(Exception):
    """The file is not one to compute; `errors` say why."""

    def __init__(self, errors: Sequence[LineError]) -> None:
        super().__init__()
        self.errors = tuple(errors)


class _Wrong(Exception):
    """Why a line, or a file, is refused."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.param = code, message, param
