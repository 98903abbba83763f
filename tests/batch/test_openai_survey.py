"""A batch's file is cut into shards, or refused with the lines that are wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.batch.openai import survey as surveying
from farthing.batch.openai.lines import read_slice, split_lines
from farthing.batch.openai.survey import Survey, Surveyor, Unusable

ENDPOINT = "/v1/embeddings"
BODY_MAX = 10_000


def line(custom_id: object = "a", **changes: Any) -> bytes:
    asked = {"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": {"input": "x"}}
    return json.dumps({**asked, **changes}).encode()


def surveyed(*lines: bytes, body_max: int = BODY_MAX) -> Survey:
    return Surveyor(ENDPOINT, body_max).read([b"\n".join(lines)])


def errors_of(*lines: bytes) -> list[tuple[str, int | None, str | None]]:
    with pytest.raises(Unusable) as raised:
        surveyed(*lines)
    return [(error.code, error.line, error.param) for error in raised.value.errors]


@given(
    st.lists(st.binary(max_size=40).filter(lambda part: b"\n" not in part), max_size=12),
    st.integers(min_value=1, max_value=17),
    st.booleans(),
)
def test_lines_are_those_of_the_file_however_it_comes(
    lines: list[bytes], piece: int, ends: bool
) -> None:
    content = b"\n".join(lines) + b"\n" * ends
    pieces = [content[start : start + piece] for start in range(0, len(content), piece)]
    found = list(split_lines(pieces, 1000))
    expected = [(i, own) for i, own in enumerate(content.split(b"\n"), 1) if own.strip()]
    assert [(one.number, one.raw) for one in found] == expected
    for one in found:
        assert content[one.start : one.end].rstrip(b"\n") == (one.raw or b"").rstrip(b"\n")


def test_of_a_line_that_is_too_long_nothing_is_kept() -> None:
    pieces = [b"short\n", b"x" * 600, b"x" * 600, b"\nlast"]
    assert [(one.number, one.raw) for one in split_lines(pieces, 1000)] == [
        (1, b"short"),
        (2, None),
        (3, b"last"),
    ]


@pytest.mark.parametrize(
    ("wrong", "code", "param"),
    [
        (b"{", "invalid_json_line", None),
        (b"[1]", "invalid_json_line", None),
        (b'"text"', "invalid_json_line", None),
        (b"\xff\xfe{\x00", "invalid_json_line", None),
        (b'{"custom_id": "\\ud800"}', "invalid_json_line", None),
        (line(None), "missing_required_parameter", "custom_id"),
        (line(7), "missing_required_parameter", "custom_id"),
        (line(""), "missing_required_parameter", "custom_id"),
        (line("x" * 513), "missing_required_parameter", "custom_id"),
        (line("b", body=None), "missing_required_parameter", "body"),
        (line("b", body=["x"]), "missing_required_parameter", "body"),
        (line("a"), "duplicate_custom_id", "custom_id"),
        (line("b", method="GET"), "invalid_method", "method"),
        (line("b", url="/v1/classify"), "url_mismatch", "url"),
        (line("b", url=None), "url_mismatch", "url"),
        (line("b", body={"input": "x", "model": "other"}), "model_mismatch", "body.model"),
        (line("b", body={"input": "x" * 20_000}), "line_too_long", None),
    ],
)
def test_a_line_that_is_no_request_of_the_batch_is_named(
    wrong: bytes, code: str, param: str | None
) -> None:
    assert errors_of(line("a"), b"", wrong) == [(code, 3, param)]


@pytest.mark.parametrize("content", [b"", b"\n\n  \r\n"])
def test_a_file_without_a_request_is_refused(content: bytes) -> None:
    assert errors_of(content) == [("empty_file", None, None)]


def test_no_message_repeats_what_was_sent() -> None:
    with pytest.raises(Unusable) as raised:
        surveyed(line("secret-id", url="/secret"), b"secret {", line("secret-id"))
    said = " ".join(error.message for error in raised.value.errors)
    assert len(raised.value.errors) == 3
    assert "secret" not in said


def test_fifty_thousand_requests_are_taken_and_one_more_is_not() -> None:
    lines = [b'{"custom_id":"%d","method":"POST","url":"/v1/embeddings","body":{"input":"x"}}' % i
             for i in range(50_001)]  # fmt: skip
    assert surveyed(*lines[:-1]).requests == 50_000
    assert errors_of(*lines) == [("too_many_tasks", None, None)]


def test_errors_are_told_up_to_a_hundred() -> None:
    assert len(errors_of(*[b"{"] * 500)) == 100


def test_shards_have_a_bounded_number_of_texts_and_cover_every_request_once() -> None:
    texts = [1, 1, 900, 200, 1024, 5, 5000, 1]
    lines = [line(str(i), body={"input": ["x"] * count}) for i, count in enumerate(texts)]
    found = surveyed(*lines, body_max=100_000)
    content = b"\n".join(lines)
    ids = []
    for piece in found.slices:
        asked = read_slice([content[piece.start :]], piece, found.line_bytes_max)
        assert len(asked) == piece.requests
        own = [texts[int(one.custom_id)] for one in asked]
        assert sum(own) <= surveying.SHARD_TEXTS_MAX or len(own) == 1
        ids += [one.custom_id for one in asked]
    assert ids == [str(i) for i in range(len(texts))]
    assert [piece.number for piece in found.slices] == list(range(len(found.slices)))


def test_the_model_is_the_one_that_all_lines_name() -> None:
    named = [line(str(i), body={"input": "x", "model": "m"}) for i in range(3)]
    assert surveyed(*named).model == "m"
    assert surveyed(line()).model is None
