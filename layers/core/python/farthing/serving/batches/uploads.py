"""A file as a form sends it: bounded before it is read, and on a disk rather than in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from farthing.errors import InvalidRequest, UnsupportedMediaType
from farthing.serving.exchange import require_size
from farthing.serving.limits import check_encodable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from typing import BinaryIO

    from starlette.requests import Request

    from farthing.settings import Settings

MB: Final = 1024 * 1024
FILE_BYTES_MAX: Final = 100 * MB
# Boundaries, headers and the other fields of a form around its file.
FORM_BYTES_MAX: Final = 64 * 1024
FIELDS_MAX: Final = 8
FILENAME_CHARS_MAX: Final = 255


class Upload(NamedTuple):
    """`content` is open, at its beginning, and goes when it is closed."""

    filename: str
    content: BinaryIO
    size_bytes: int


def file_bytes_max(settings: Settings) -> int:
    """The largest file that is taken: 100 MB, or what a function's platform lets through."""
    if settings.host in {"local", "knative"}:
        return FILE_BYTES_MAX
    return settings.payload_max_bytes - FORM_BYTES_MAX


async def read_upload(request: Request, bytes_max: int) -> Upload:
    """The file of a multipart form whose `purpose` is batch.

    Raises `UnsupportedMediaType`, `BodyTooLarge` before more than that is read, and
    `InvalidRequest`.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "multipart/form-data":
        raise UnsupportedMediaType(
            "A file is sent as a form. Send `purpose` and `file` as multipart/form-data."
        )
    body_max = bytes_max + FORM_BYTES_MAX
    stated = request.headers.get("content-length", "")
    if stated.isdecimal():
        require_size(int(stated), body_max)
    parser = MultiPartParser(
        request.headers,
        _bounded(request, body_max),
        max_files=1,
        max_fields=FIELDS_MAX,
        max_part_size=FORM_BYTES_MAX,
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise InvalidRequest(
            f"The form cannot be read: {error.message.rstrip('.')}. Send `purpose` and one `file`."
        ) from None
    try:
        return _checked(form.get("purpose"), form.get("file"), bytes_max)
    except BaseException:
        await form.close()
        raise


def _checked(purpose: str | UploadFile | None, file: str | UploadFile | None, most: int) -> Upload:
    if purpose != "batch":
        raise InvalidRequest("Files are kept for batches only. Send the field `purpose` as batch.")
    if not isinstance(file, UploadFile):
        raise InvalidRequest(
            "The form has no file. Send it as the field `file`, with the name of a file."
        )
    size_bytes = file.size or 0
    require_size(size_bytes, most)
    if not size_bytes:
        raise InvalidRequest("The file is empty. Send one request a line, as JSON.")
    filename = (file.filename or "batch.jsonl").replace("\\", "/").rpartition("/")[2]
    if len(filename) > FILENAME_CHARS_MAX or not filename.isprintable():
        raise InvalidRequest(
            f"The file's name is longer than {FILENAME_CHARS_MAX} characters, or has some that "
            "cannot be shown. Give it another name."
        )
    check_encodable(filename, "The file's name")
    return Upload(filename, file.file, size_bytes)


async def _bounded(request: Request, bytes_max: int) -> AsyncGenerator[bytes, None]:
    """The body's pieces. Raises `BodyTooLarge` as soon as there are more bytes than that."""
    read_bytes = 0
    async for piece in request.stream():
        read_bytes += len(piece)
        require_size(read_bytes, bytes_max)
        yield piece
