"""What a request may be: read strictly, bounded before anything is computed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.errors import AnswerTooLarge, InputTooLong, InvalidRequest, MalformedBody

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.settings import Settings

# Usage, charge and punctuation around the rows.
FRAME_BYTES_MAX = 4096


def read_request(payload: bytes | Any, request_type: type[msgspec.Struct]) -> Any:
    """The request in a JSON body or a parsed event. Raises `MalformedBody`, `InvalidRequest`."""
    try:
        if isinstance(payload, bytes):
            return msgspec.json.decode(payload, type=request_type)
        return msgspec.convert(payload, request_type)
    except msgspec.ValidationError as error:
        raise InvalidRequest(
            f"The request does not fit the route: {_without_values(error)}. "
            "See /openapi.json for its fields."
        ) from None
    except UnicodeEncodeError:
        raise InvalidRequest(
            "A field's name or choice has half of a surrogate pair, which is no character. "
            "Send whole characters."
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedBody(
            f"The body cannot be read as JSON: {_reason(payload, error)}. "
            "Send one JSON object, in UTF-8."
        ) from None


def _reason(payload: bytes, error: Exception) -> str:
    if not payload:
        return "it is empty"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    # msgspec finds no end to a string whose last escape waits for its other half.
    if "truncated" in str(error):
        return "it ends too early, or holds half of a surrogate pair"
    return str(error)


def check_inputs(texts: Sequence[str], settings: Settings) -> None:
    """Raises `InvalidRequest` or `InputTooLong` for the first input that cannot be answered."""
    if len(texts) > settings.inputs_max:
        raise InvalidRequest(
            f"{len(texts)} inputs were sent; one call takes {settings.inputs_max}. "
            "Send them in several calls."
        )
    for index, text in enumerate(texts):
        if not text or text.isspace():
            raise InvalidRequest(
                f"Input {index} is blank, so there is nothing to answer about. Leave it out."
            )
        check_text(text, index, settings)


def check_text(text: str, index: int, settings: Settings) -> None:
    """Raises `InvalidRequest` or `InputTooLong` for a text that no model can read."""
    if len(text) > settings.input_max_chars:
        raise InputTooLong(
            f"Input {index} has {len(text)} characters; an input may have "
            f"{settings.input_max_chars}. Split it: a model reads a few hundred words."
        )
    if not text.isascii():
        check_encodable(text, f"Input {index}")


def check_answer_fits(inputs: int, row_bytes: int, shrink_hint: str, settings: Settings) -> None:
    """Raises `AnswerTooLarge`, before anything is computed, naming what would fit."""
    room = settings.payload_max_bytes - FRAME_BYTES_MAX
    if inputs * row_bytes > room:
        raise AnswerTooLarge(
            f"{inputs} inputs may answer with {inputs * row_bytes} bytes; an answer here may "
            f"have {settings.payload_max_bytes}. Send at most {room // row_bytes} inputs "
            f"a call, or {shrink_hint}."
        )


def check_results_fit(results: Any, shrink_hint: str, settings: Settings) -> None:
    """Raises `AnswerTooLarge` for results whose JSON is more than an answer may have."""
    size_bytes = len(msgspec.json.encode(results))
    if size_bytes > settings.payload_max_bytes - FRAME_BYTES_MAX:
        raise AnswerTooLarge(
            f"The results have {size_bytes} bytes; an answer here may have "
            f"{settings.payload_max_bytes}. To get one, {shrink_hint}."
        )


# What msgspec quotes of the request: an unknown field's name, and a choice there is not.
QUOTED = re.compile(r"(unknown field) `.*`|(enum value) '.*'(?= - at `)", flags=re.DOTALL)


def _without_values(error: Exception) -> str:
    return QUOTED.sub(lambda found: found[1] or found[2], str(error))


def check_encodable(content: Any, name: str) -> None:
    """Raises `InvalidRequest` where the content, `name` to its sender, is no Unicode text."""
    try:
        msgspec.json.encode(content)
    except UnicodeEncodeError:
        raise InvalidRequest(
            f"{name} has half of a surrogate pair, which is no character. Send whole characters."
        ) from None
