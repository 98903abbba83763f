"""A bucket's archive: the cheapest storage there is, whose files take hours to come back.

archive/…          copies, by the names that they had
archived/N.json    the manifest of each version that was put away, always readable
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import quote

from farthing.errors import StorageUnavailable

if TYPE_CHECKING:
    from farthing.storage.buckets import BucketStorage
    from farthing.storage.dialects import Speed

State = Literal["readable", "archived", "coming", "absent"]
PREFIX: Final = "archive/"
MANIFESTS: Final = "archived/"
COMING: Final = b'ongoing-request="true"'


class Shelf:
    """Raises `StorageUnavailable` where the bucket does not answer, or does not do it."""

    def __init__(self, storage: BucketStorage) -> None:
        self._storage, self._client = storage, storage.client
        self._dialect = storage.client.dialect

    @property
    def waits(self) -> str:
        """How long a file takes to come back, in words."""
        return self._dialect.waits

    def state(self, name: str) -> State:
        """Whether a file can be read, or is asked for, or could be."""
        kind, asked = self._facts(name)
        if kind == "":
            return "absent"
        if kind != self._dialect.archive:
            return "readable"
        if asked is None:
            return "archived"
        return "coming" if COMING in asked else "readable"

    def lies_archived(self, name: str) -> bool:
        """Whether a file is the archive's, though it may be readable for some days."""
        return self._facts(name)[0] == self._dialect.archive

    def put_away(self, name: str, to: str) -> None:
        """Copies a file into the archive, inside of the service; `to` may be its own name."""
        self._copy(name, to, self._dialect.archive)

    def bring_back(self, name: str, to: str) -> None:
        """Copies a file that can be read to where it is at hand, inside of the service."""
        self._copy(name, to, self._dialect.at_hand)

    def ask_for(self, name: str, speed: Speed, days: int) -> None:
        """Asks for a file to be readable for so many days; nothing happens where it was asked."""
        tier = f"<Tier>{speed.capitalize()}</Tier>"
        job = self._dialect.restore_job
        body = f"<RestoreRequest><Days>{days}</Days><{job}>{tier}</{job}></RestoreRequest>"
        reply = self._client.ask(
            "POST",
            self._storage.key(name),
            {"restore": ""},
            {"content-type": "application/xml"},
            body.encode(),
        )
        if reply.status not in {200, 202} and reply.code != "RestoreAlreadyInProgress":
            raise self._refused(name, reply.code or f"HTTP {reply.status}")

    def _copy(self, name: str, to: str, kind: str) -> None:
        source = quote(f"/{self._client.bucket}/{self._storage.key(name)}", safe="/~")
        headers = {
            self._dialect.header(self._dialect.copies_from): source,
            self._dialect.header("storage-class"): kind,
        }
        reply = self._client.ask("PUT", self._storage.key(to), headers=headers)
        # A copy may begin to succeed, and say in its body that it did not.
        if reply.status != 200 or b"<Error>" in reply.body:
            raise self._refused(name, reply.code or f"HTTP {reply.status}")

    def _facts(self, name: str) -> tuple[str, bytes | None]:
        """The file's class of storage, "" where there is no file, and what is said of restoring."""
        reply = self._client.ask("HEAD", self._storage.key(name))
        if reply.status == 404:
            return "", None
        if reply.status != 200:
            raise self._refused(name, reply.code or f"HTTP {reply.status}")
        kind = reply.headers.get(self._dialect.header("storage-class").encode(), b"")
        # S3 leaves its usual class unsaid.
        return kind.decode("latin-1") or self._dialect.at_hand, reply.headers.get(
            self._dialect.header("restore").encode()
        )

    def _refused(self, name: str, why: str) -> StorageUnavailable:
        return StorageUnavailable(
            f"{self._dialect.name} does not move {self._storage.url}/{name} ({why}). See that "
            "this role may copy and restore objects there."
        )
