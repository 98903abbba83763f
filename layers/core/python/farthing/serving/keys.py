"""Who may call: signed keys that say themselves whose they are, and what for.

A key is `fk-` and a JSON Web Token (RFC 7519, HS256), so any JWT library reads its claims: `jti`
the key's id, `sub` the tenant, `scope`, `exp`, and where given `plan` and `rpm`, calls a minute.
The service keeps none of them, only the secrets that sign them. Ours are twenty lines of the
standard library, because a library's import would be a tenth of a cold start.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import time
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from farthing.billing.tenants import TENANT_NAME
from farthing.errors import SettingsError
from farthing.serving.claims import ALL_SCOPES, Claims, revoked, unauthorized

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SECRET_BYTES = 32
ENTRY = re.compile(r"^(?P<kid>[a-z0-9]{1,16})=(?P<secret>[A-Za-z0-9_-]{43})$")
KEY_PREFIX = "fk-"
KEY_MAX_CHARS = 2048
KEYS_REMEMBERED = 1024
# The house books what no tenant pays; nobody may call as it.
RESERVED_TENANTS = {"house"}
ALGORITHM = "HS256"


class Header(msgspec.Struct, frozen=True):
    alg: str
    kid: str
    typ: str = "JWT"


class KeyRing:
    """Reads keys signed by any of several secrets; the first one signs. Entries are `kid=secret`.

    Raises `SettingsError` for an entry of another shape, without repeating it.
    """

    def __init__(
        self,
        entries: Iterable[str],
        revoked_ids: Iterable[str] = (),
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        self._secrets: dict[str, bytes] = {}
        self._revoked = frozenset(revoked_ids)
        self._clock_s = clock_s
        for position, entry in enumerate(entries, start=1):
            match = ENTRY.match(entry.strip())
            if match is None or match["kid"] in self._secrets:
                raise SettingsError(
                    f"Entry {position} of FARTHING_KEYS is not a kid=secret pair with a name of "
                    "its own. Make one with `farthing keys init`."
                )
            self._secrets[match["kid"]] = _unpadded(match["secret"])
        self._signer = next(iter(self._secrets), None)
        # A caller comes again and again, with the same key.
        self._read = lru_cache(maxsize=KEYS_REMEMBERED)(self._verify)

    def sign(self, claims: Claims) -> str:
        """The key of these claims, to be shown once. Raises `SettingsError` without a secret."""
        if self._signer is None:
            raise SettingsError(
                "There is no secret to sign a key with. Set FARTHING_KEYS to what `farthing keys "
                "init` prints."
            )
        if claims.sub in RESERVED_TENANTS:
            raise SettingsError(f"The tenant {claims.sub} is Farthing's own. Choose another name.")
        header = msgspec.json.encode(Header(ALGORITHM, self._signer))
        signed = f"{_encoded(header)}.{_encoded(msgspec.json.encode(claims))}"
        return f"{KEY_PREFIX}{signed}.{_encoded(self._mac(self._signer, signed))}"

    def caller(self, authorization: str | None) -> Claims:
        """What the key in an `Authorization` header says. Raises `Unauthorized`."""
        scheme, _, key = (authorization or "").partition(" ")
        claims = self._read(key.strip()) if len(key) <= KEY_MAX_CHARS else None
        if scheme.lower() != "bearer" or claims is None:
            raise unauthorized("the request bears none that is known")
        if claims.exp <= self._clock_s():
            raise unauthorized("the one it bears has expired")
        if claims.jti in self._revoked:
            raise revoked()
        return claims

    def _verify(self, key: str) -> Claims | None:
        """The claims of a key whose signature is ours; None for anything else."""
        try:
            signed, signature = key.removeprefix(KEY_PREFIX).rsplit(".", 1)
            header_part, claims_part = signed.split(".")
            header = msgspec.json.decode(_unpadded(header_part), type=Header)
            mac = _unpadded(signature)
        except (ValueError, msgspec.MsgspecError, UnicodeEncodeError):
            return None
        known = header.alg == ALGORITHM and header.kid in self._secrets
        # An unknown name takes as long as a known one.
        secret_of = header.kid if known else self._signer
        if secret_of is None or not key.startswith(KEY_PREFIX):
            return None
        if not hmac.compare_digest(self._mac(secret_of, signed), mac) or not known:
            return None
        try:
            claims = msgspec.json.decode(_unpadded(claims_part), type=Claims)
        except (ValueError, msgspec.MsgspecError):
            return None
        return None if claims.sub in RESERVED_TENANTS else claims

    def _mac(self, kid: str, signed: str) -> bytes:
        return hmac.digest(self._secrets[kid], signed.encode(), "sha256")


def new_entry() -> str:
    """A fresh `kid=secret` pair for FARTHING_KEYS; the kid is the secret's fingerprint."""
    secret = secrets.token_bytes(SECRET_BYTES)
    return f"{hashlib.sha256(secret).hexdigest()[:8]}={_encoded(secret)}"


def new_claims(
    tenant: str,
    lifetime_s: int,
    *,
    scope: str = ALL_SCOPES,
    plan: str = "",
    rpm: int | None = None,
) -> Claims:
    """Claims of a new key that is valid from now on. Raises `SettingsError` for a bad tenant."""
    if not re.match(TENANT_NAME, tenant) or tenant in RESERVED_TENANTS:
        raise SettingsError(
            "A tenant's name has 1 to 63 lower-case letters, digits, - and _, starts with a letter "
            "or digit, and is not house. Choose another."
        )
    now_s = int(time.time())
    return Claims(secrets.token_hex(8), tenant, now_s, now_s + lifetime_s, scope, plan, rpm)


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _unpadded(text: str) -> bytes:
    """Raises `ValueError` for what is not base64url without padding, in its one spelling."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError from error
    if _encoded(raw) != text:
        raise ValueError
    return raw
