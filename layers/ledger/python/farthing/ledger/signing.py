"""Signatures under the ledger's roots: Ed25519 (RFC 8032), by `cryptography`.

A signature covers `CONTEXT` and the root's canonical JSON without its member `signature`: members
in the order of `Root`, no spaces, UTF-8. Public keys are handed out as a JSON object
`{key id: base64 of 32 bytes}`, which keeps those that were rotated out.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from typing import TYPE_CHECKING

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from farthing.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from farthing.billing.ledger import Root

CONTEXT = b"farthing-root-v1\n"
KEY_BYTES = 32
KEY_ID_CHARS = 16
NO_ROOT = "0" * 64


def canonical(root: Root) -> bytes:
    """The root's bytes, signature included: what the next root's `previous` is the hash of."""
    return msgspec.json.encode(root)


def digest(root: Root) -> str:
    """The SHA-256 of the root's canonical bytes, in hex: the head of a chain that ends with it."""
    return hashlib.sha256(canonical(root)).hexdigest()


def signed_bytes(root: Root) -> bytes:
    """What a root's signature covers."""
    members = msgspec.to_builtins(root)
    del members["signature"]
    return CONTEXT + msgspec.json.encode(members)


def key_id_of(public_key: bytes) -> str:
    """The name of a key: the first 16 hex digits of its public half's SHA-256."""
    return hashlib.sha256(public_key).hexdigest()[:KEY_ID_CHARS]


class Signer:
    """Signs roots with one private key, of 32 bytes."""

    def __init__(self, private_key: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(private_key)
        self.public_key = self._private.public_key().public_bytes_raw()
        self.key_id = key_id_of(self.public_key)

    def sign(self, root: Root) -> Root:
        """The root under this key's id and signature, whatever stood there."""
        named = msgspec.structs.replace(root, key_id=self.key_id)
        signature = base64.b64encode(self._private.sign(signed_bytes(named))).decode()
        return msgspec.structs.replace(named, signature=signature)

    def public_keys(self) -> dict[str, str]:
        """What those who verify need of this key, as `PublicKeys.read` takes it."""
        return {self.key_id: base64.b64encode(self.public_key).decode()}


class PublicKeys:
    """The keys whose signatures count, by id."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = {name: Ed25519PublicKey.from_public_bytes(key) for name, key in keys.items()}

    @classmethod
    def read(cls, text: str | bytes) -> PublicKeys:
        """The keys of a JSON object. Raises `SettingsError` for what is not one."""
        try:
            named = msgspec.json.decode(text, type=dict[str, str])
            keys = {name: _raw(key) for name, key in named.items()}
        except (msgspec.MsgspecError, ValueError):
            keys = {}
        if not keys or any(key_id_of(key) != name for name, key in keys.items()):
            raise SettingsError(
                "The public keys are no JSON object of key ids and base64 keys that belong "
                "together. Use the file that `farthing bill seal --public-keys` writes."
            )
        return cls(keys)

    def __contains__(self, key_id: str) -> bool:
        return key_id in self._keys

    def verify(self, root: Root) -> bool:
        """Whether the root bears the signature of a key that is known by its id."""
        key = self._keys.get(root.key_id)
        try:
            if key is not None:
                key.verify(_raw(root.signature, bytes_max=64), signed_bytes(root))
        except (InvalidSignature, ValueError):
            return False
        return key is not None


def new_secret() -> str:
    """A fresh private key as the settings hold it: base64 of 32 random bytes."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


def read_signer(secret: str) -> Signer:
    """The signer of a private key in base64. Raises `SettingsError`, without repeating it."""
    try:
        return Signer(_raw(secret.strip()))
    except ValueError:
        raise SettingsError(
            "The signing key is not the base64 of 32 bytes. Give what `farthing bill seal` wrote "
            "into its key file, or the output of: openssl rand -base64 32"
        ) from None


def read_key_file(path: Path) -> Signer:
    """The signer whose private key lies in a file of the user's own.

    Raises `SettingsError` where the file cannot be read, or can be by others.
    """
    try:
        others_may_read = path.stat().st_mode & 0o077
        secret = path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise SettingsError(
            f"The signing key in {path} cannot be read: {error.strerror}. Name another file."
        ) from None
    if others_may_read:
        raise SettingsError(
            f"Others than you may read the signing key in {path}. Run: chmod 600 '{path}'"
        )
    return read_signer(secret)


def create_key_file(path: Path) -> Signer:
    """The signer of a fresh key, written so that only its owner can read it.

    Raises `FileExistsError` rather than replace a key.
    """
    secret = new_secret()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secret + "\n")
    return read_signer(secret)


def _raw(text: str, bytes_max: int = KEY_BYTES) -> bytes:
    """Raises `ValueError` for what is not the base64 of so many bytes."""
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(text[:0]) from error
    if len(raw) != bytes_max:
        raise ValueError(len(raw))
    return raw
