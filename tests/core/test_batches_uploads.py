"""An upload is a form with one file for a batch, and is never read beyond what it may be."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest
from starlette.requests import Request

from farthing.errors import BodyTooLarge, InvalidRequest, Refusal, UnsupportedMediaType
from farthing.serving.batches.uploads import (
    FILE_BYTES_MAX,
    FORM_BYTES_MAX,
    file_bytes_max,
    read_upload,
)
from farthing.settings import read_settings

if TYPE_CHECKING:
    from farthing.serving.batches.uploads import Upload

BOUNDARY = "x" * 12
PIECE = 64 * 1024


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    named = "" if filename is None else f'; filename="{filename}"'
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'
    return head.encode() + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()
PURPOSE = part("purpose", b"batch")


class Sent:
    """A request of these pieces, and how many of them were asked for."""

    def __init__(self, *pieces: bytes, content_type: str = "", length: int | None = None) -> None:
        self.read = 0
        self._pieces = pieces
        kind = content_type or f"multipart/form-data; boundary={BOUNDARY}"
        headers = [(b"content-type", kind.encode())]
        if length is not None:
            headers.append((b"content-length", str(length).encode()))
        scope = {"type": "http", "method": "POST", "headers": headers}
        self._request = Request(scope, self._receive)

    def upload(self, bytes_max: int = 1_000_000) -> Upload:
        return asyncio.run(read_upload(self._request, bytes_max))

    async def _receive(self) -> dict[str, Any]:
        piece = self._pieces[self.read]
        self.read += 1
        more = self.read < len(self._pieces)
        return {"type": "http.request", "body": piece, "more_body": more}


def test_the_file_comes_whole_however_it_is_cut() -> None:
    content = bytes(range(256)) * 9000
    body = PURPOSE + part("file", content, "in.jsonl") + END
    pieces = [body[start : start + PIECE] for start in range(0, len(body), PIECE)]
    upload = Sent(*pieces).upload(len(content))
    with upload.content:
        assert upload.content.read() == content
    assert (upload.filename, upload.size_bytes) == ("in.jsonl", len(content))


def test_a_length_that_is_too_much_is_refused_before_anything_is_read() -> None:
    sent = Sent(b"never", length=1_000_000 + FORM_BYTES_MAX + 1)
    with pytest.raises(BodyTooLarge):
        sent.upload()
    assert sent.read == 0


def test_a_body_that_does_not_say_its_length_is_read_up_to_the_limit_and_no_further() -> None:
    head = PURPOSE + part("file", b"", "in.jsonl")[:-2]
    sent = Sent(head, *[b"x" * PIECE] * 1000)
    with pytest.raises(BodyTooLarge):
        sent.upload(10 * PIECE)
    assert sent.read == 12


def test_a_file_one_byte_too_large_is_refused() -> None:
    for size, is_refused in ((1000, False), (1001, True)):
        sent = Sent(PURPOSE + part("file", b"x" * size, "a") + END)
        if is_refused:
            with pytest.raises(BodyTooLarge):
                sent.upload(1000)
        else:
            sent.upload(1000).content.close()


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (part("file", b"{}", "a") + END, InvalidRequest),
        (part("purpose", b"fine-tune") + part("file", b"{}", "a") + END, InvalidRequest),
        (part("purpose", b"batch", "p") + part("file", b"{}", "a") + END, InvalidRequest),
        (PURPOSE + END, InvalidRequest),
        (PURPOSE + part("file", b"{}") + END, InvalidRequest),
        (PURPOSE + part("file", b"", "a") + END, InvalidRequest),
        (PURPOSE + part("file", b"{}", "a") + part("file", b"{}", "b") + END, InvalidRequest),
        (PURPOSE * 20 + part("file", b"{}", "a") + END, InvalidRequest),
        (PURPOSE + part("file", b"{}", "a" * 300) + END, InvalidRequest),
        (PURPOSE + part("file", b"{}", "a\x07b") + END, InvalidRequest),
        (part("purpose", b"batch" * 50_000) + END, InvalidRequest),
        (b"no form at all", InvalidRequest),
    ],
)
def test_a_form_that_is_none_of_ours_is_refused(body: bytes, refusal: type[Refusal]) -> None:
    with pytest.raises(refusal):
        Sent(body).upload()


# Starlette leaves the file of a form that ends too early to the interpreter to close.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_form_that_ends_too_early_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        Sent(PURPOSE + part("file", b"cut off", "a")[:-2]).upload()
    gc.collect()


@pytest.mark.parametrize(
    "content_type", ["application/json", "text/plain", "multipart/mixed; boundary=x", "x"]
)
def test_what_is_no_form_is_refused_unread(content_type: str) -> None:
    sent = Sent(b"{}", content_type=content_type)
    with pytest.raises(UnsupportedMediaType):
        sent.upload()
    assert sent.read == 0


def test_a_form_without_a_boundary_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        Sent(b"{}", content_type="multipart/form-data").upload()


@pytest.mark.parametrize(
    ("filename", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\\\docs\\\\in.jsonl", "in.jsonl"),
        ("ä.jsonl", "ä.jsonl"),
    ],
)
def test_a_path_becomes_the_name_of_its_file(filename: str, kept: str) -> None:
    upload = Sent(PURPOSE + part("file", b"{}", filename) + END).upload()
    upload.content.close()
    assert upload.filename == kept


def test_a_server_takes_more_than_a_function_lets_through() -> None:
    local = read_settings({}, memory_mb=1024)
    function = read_settings({"FARTHING_PLATFORM": "lambda"}, memory_mb=1024)
    assert file_bytes_max(local) == FILE_BYTES_MAX == 100 * 1024 * 1024
    assert file_bytes_max(function) + FORM_BYTES_MAX == 6 * 1024 * 1024
