"""Keys that lie beside a ledger that is a file: the private one, and the public ones so far."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from farthing.cli.options import default_ledger_file
from farthing.errors import SettingsError

if TYPE_CHECKING:
    from farthing.ledger.signing import PublicKeys, Signer

SQLITE = "sqlite:///"
PRIVATE = ".key"
PUBLIC = ".keys.json"


def signer_of(url: str | None) -> Signer:
    """The signer of FARTHING_SIGNING_KEY, else of the key beside the ledger, made at first use.

    Raises `SettingsError` where there is neither a key nor a place for one.
    """
    from farthing.ledger.signing import create_key_file, read_key_file, read_signer

    secret = os.environ.get("FARTHING_SIGNING_KEY", "")
    if secret:
        return read_signer(secret)
    file = beside(url, PRIVATE)
    if file is None:
        raise SettingsError(
            "This ledger is no file, so no key lies beside it. Set FARTHING_SIGNING_KEY to the "
            "base64 of 32 secret bytes (openssl rand -base64 32)."
        )
    if file.exists():
        return read_key_file(file)
    signer = create_key_file(file)
    sys.stderr.write(
        f"farthing: made a signing key in {file}, for you alone. Keep a copy: without it the next "
        "hours are signed with another one.\n"
    )
    return signer


def publish(signer: Signer, file: Path) -> None:
    """Adds the signer's public key to the file; those that are there stay."""
    from farthing.ledger.signing import PublicKeys

    known: dict[str, str] = {}
    if file.exists():
        text = file.read_text(encoding="utf-8")
        PublicKeys.read(text)
        known = json.loads(text)
    if signer.key_id not in known:
        file.write_text(json.dumps(known | signer.public_keys(), indent=2) + "\n", encoding="utf-8")


def public_keys_of(url: str | None, file: Path | None) -> PublicKeys:
    """The keys of the file, else of the one beside the ledger, else FARTHING_SIGNING_KEY's; else
    none, which makes every signature unknown. Raises `SettingsError`."""
    from farthing.ledger.signing import PublicKeys, read_signer

    file = file or beside(url, PUBLIC)
    if file is not None and file.is_file():
        return PublicKeys.read(file.read_bytes())
    secret = os.environ.get("FARTHING_SIGNING_KEY", "")
    return (
        PublicKeys.read(json.dumps(read_signer(secret).public_keys())) if secret else PublicKeys({})
    )


def beside(url: str | None, suffix: str) -> Path | None:
    """The file of that suffix beside a SQLite ledger; None for any other ledger."""
    address = url or os.environ.get("FARTHING_LEDGER") or f"{SQLITE}{default_ledger_file()}"
    if not address.startswith(SQLITE):
        return None
    file = Path(address.removeprefix(SQLITE).partition("?")[0])
    return file.with_name(file.name + suffix)
