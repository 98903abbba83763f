"""Who may call: keys known only by their hashes, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING

from farthing.errors import SettingsError, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Iterable

ENTRY = re.compile(r"^(?P<tenant>[a-z0-9][a-z0-9_-]{0,62})=(?P<sha256>[0-9a-f]{64})$")
KEY_PREFIX = "fk-"
# The house books what no tenant pays; nobody may call as it.
RESERVED_TENANTS = {"house"}


class KeyRing:
    """Tenants by key. Entries are `tenant=sha256`; a tenant may have several while it rotates.

    Raises `SettingsError` for an entry of another shape, without repeating it.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._hashes: list[tuple[bytes, str]] = []
        for position, entry in enumerate(entries, start=1):
            match = ENTRY.match(entry.strip())
            if match is None or match["tenant"] in RESERVED_TENANTS:
                raise SettingsError(
                    f"Entry {position} of FARTHING_KEYS is not a tenant=sha256 pair of a free "
                    "tenant name. Make one with `farthing key TENANT`."
                )
            self._hashes.append((bytes.fromhex(match["sha256"]), match["tenant"]))

    def tenant(self, authorization: str | None) -> str:
        """The tenant whose key the `Authorization` header bears. Raises `Unauthorized`."""
        scheme, _, key = (authorization or "").partition(" ")
        digest = hashlib.sha256(key.strip().encode("utf-8", "surrogatepass")).digest()
        # Every hash is compared, so the time taken does not tell which tenant came close.
        found = [tenant for known, tenant in self._hashes if hmac.compare_digest(known, digest)]
        if scheme.lower() != "bearer" or not found:
            raise Unauthorized(
                "This route needs a key, and the request bears none that is known. "
                "Send it as `Authorization: Bearer KEY`.",
                www_authenticate="Bearer",
            )
        return found[0]


def new_key(tenant: str) -> tuple[str, str]:
    """A fresh key, to be shown once, and its `tenant=sha256` entry for the settings."""
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    return key, f"{tenant}={hashlib.sha256(key.encode()).hexdigest()}"
