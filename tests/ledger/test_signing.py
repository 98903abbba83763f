"""Signatures that another library's user could check, and keys that are what they say."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from farthing.billing.ledger import Root
from farthing.errors import SettingsError
from farthing.ledger.signing import (
    NO_ROOT,
    PublicKeys,
    canonical,
    create_key_file,
    digest,
    new_secret,
    read_key_file,
    read_signer,
)
from tests.ledger.attempts import OTHER_SIGNER, SIGNER

if TYPE_CHECKING:
    from pathlib import Path

UNSIGNED = Root(
    tenant="acme",
    hour="2026-11-22T05",
    sequence=1,
    count=2,
    covers=(("a" * 16, 1, 2),),
    root="00" * 32,
    previous=NO_ROOT,
    key_id="",
    signed_at_ms=1,
    signature="",
)
ROOT = SIGNER.sign(UNSIGNED)
KEYS = PublicKeys.read(json.dumps(SIGNER.public_keys()))


def test_a_signature_holds_for_whoever_reads_the_root_as_plain_json() -> None:
    document = json.loads(canonical(ROOT))
    signature = base64.b64decode(document.pop("signature"))
    signed = b"farthing-root-v1\n" + json.dumps(document, separators=(",", ":")).encode()
    (public,) = SIGNER.public_keys().values()
    Ed25519PublicKey.from_public_bytes(base64.b64decode(public)).verify(signature, signed)
    assert document["key_id"] == hashlib.sha256(base64.b64decode(public)).hexdigest()[:16]
    assert digest(ROOT) == hashlib.sha256(canonical(ROOT)).hexdigest()


@pytest.mark.parametrize(
    "changed",
    [
        {"tenant": "bolt"}, {"hour": "2026-11-22T06"}, {"sequence": 2}, {"count": 3},
        {"covers": (("a" * 16, 1, 3),)}, {"root": "11" * 32}, {"previous": "11" * 32},
        {"signed_at_ms": 2}, {"signature": ""}, {"signature": "?"}, {"key_id": "0" * 16},
        {"signature": base64.b64encode(b"0" * 64).decode()},
    ],
)  # fmt: skip
def test_no_member_of_a_root_can_be_changed(changed: dict[str, object]) -> None:
    assert KEYS.verify(ROOT)
    assert not KEYS.verify(msgspec.structs.replace(ROOT, **changed))


def test_keys_that_were_rotated_out_still_verify_and_unknown_ones_do_not() -> None:
    both = PublicKeys.read(json.dumps(SIGNER.public_keys() | OTHER_SIGNER.public_keys()))
    newer = OTHER_SIGNER.sign(UNSIGNED)
    assert both.verify(ROOT)
    assert both.verify(newer)
    assert not KEYS.verify(newer)
    assert newer.key_id not in KEYS


def test_a_key_under_the_name_of_another_is_refused() -> None:
    (name,) = SIGNER.public_keys()
    (other,) = OTHER_SIGNER.public_keys().values()
    with pytest.raises(SettingsError, match="belong together"):
        PublicKeys.read(json.dumps({name: other}))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"a": 1}', '{"a": "?"}', '{"a": "aaaa"}'])
def test_what_is_no_file_of_public_keys_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="public keys are no JSON object"):
        PublicKeys.read(text)


def test_a_key_file_is_its_owners_alone_and_is_never_replaced(tmp_path: Path) -> None:
    file = tmp_path / "ledger.key"
    made = create_key_file(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_key_file(file).key_id == made.key_id
    with pytest.raises(FileExistsError):
        create_key_file(file)
    file.chmod(0o640)
    with pytest.raises(SettingsError, match="chmod 600"):
        read_key_file(file)
    with pytest.raises(SettingsError, match="cannot be read"):
        read_key_file(tmp_path / "none")


@pytest.mark.parametrize("secret", ["", "short", "?" * 44, base64.b64encode(b"1" * 31).decode()])
def test_a_secret_that_is_none_is_refused_without_repeating_it(secret: str) -> None:
    with pytest.raises(SettingsError, match="base64 of 32 bytes") as refused:
        read_signer(secret)
    assert not secret or secret not in str(refused.value)


def test_every_new_secret_is_another() -> None:
    assert read_signer(new_secret()).key_id != read_signer(new_secret()).key_id
