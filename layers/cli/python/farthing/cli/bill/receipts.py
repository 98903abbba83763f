"""`farthing bill seal`, `receipt` and `verify`: history that cannot be changed unnoticed."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farthing.cli.bill.keyfiles import PUBLIC, beside, public_keys_of, publish, signer_of
from farthing.cli.bill.ledgers import ledger_at
from farthing.cli.options import AsJson, Ledger
from farthing.errors import LedgerError

if TYPE_CHECKING:
    from farthing.billing.ledger import Root, Store
    from farthing.ledger.signing import PublicKeys
    from farthing.ledger.verification import Verdict

BROKEN = 1
FOREVER_MS = 253_402_300_800_000

PublicKeysFile = Annotated[
    Path | None,
    typer.Option(
        "--public-keys",
        dir_okay=False,
        show_default=False,
        help=r"JSON file of public keys by id. \[default: beside the SQLite ledger, else that of "
        r"FARTHING_SIGNING_KEY]",
    ),
]
ReceiptFile = Annotated[
    Path | None,
    typer.Option(
        "--receipt",
        exists=True,
        dir_okay=False,
        show_default=False,
        help="Verify this receipt, which needs no ledger; with --ledger, that too, and that they "
        "agree.",
    ),
]
Head = Annotated[
    list[str] | None,
    typer.Option(
        "--head", show_default=False, help="Head of a chain that was noted before, repeatable."
    ),
]


def seal(
    ledger: Ledger = None,
    public_keys: PublicKeysFile = None,
    admit_late: Annotated[
        bool, typer.Option("--admit-late", help="Also seal entries that came days too late.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Sign the roots of every closed hour; a SQLite ledger's first seal makes a key beside it.

    --public-keys is where the public half is written to, for those who verify.
    """
    from farthing.ledger.sealing import seal as seal_hours

    store = ledger_at(ledger)
    try:
        signer = signer_of(ledger)
        for file in (public_keys, beside(ledger, PUBLIC)):
            if file is not None:
                publish(signer, file)
        admit_since_ms = 0 if admit_late else None
        sealed = seal_hours(store, signer, _now_ms(), admit_since_ms=admit_since_ms)
        roots = [one.root for one in sealed]
    finally:
        store.close()
    if as_json:
        sys.stdout.write(
            json.dumps({"roots": len(roots), "public_keys": signer.public_keys()}) + "\n"
        )
        return
    entries = sum(root.count for root in roots)
    sys.stdout.write(f"Sealed {entries} entries under {len(roots)} roots, key {signer.key_id}.\n")


def receipt(
    tenant: Annotated[str, typer.Option(help="Whose request.", show_default=False)],
    request_id: Annotated[str, typer.Option(help="The answer's X-Request-Id.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="File to write. [default: print]", dir_okay=False)
    ] = None,
    ledger: Ledger = None,
) -> None:
    """Give the receipt of one request: its entry, and the proof that it is in a signed root."""
    from farthing.ledger.receipts import encode, receipt_of

    store = ledger_at(ledger)
    try:
        found = encode(receipt_of(store, tenant, request_id, since_ms=0, until_ms=FOREVER_MS))
    finally:
        store.close()
    if out is None:
        sys.stdout.write(found.decode())
        return
    try:
        out.write_bytes(found)
    except OSError as error:
        raise LedgerError(
            f"The receipt could not be written to {out}: {error.strerror}. Name another file."
        ) from None


def verify(
    ledger: Ledger = None,
    public_keys: PublicKeysFile = None,
    receipt: ReceiptFile = None,
    head: Head = None,
    as_json: AsJson = False,
) -> None:
    """Check that the ledger's history is whole and unchanged; 0 sound, 1 broken, 2 no ledger."""
    from farthing.ledger.receipts import check, decode

    keys = public_keys_of(ledger, public_keys)
    held: list[Root] = []
    if receipt is not None:
        found = decode(receipt.read_bytes())
        check(found, keys)
        held.append(found.root)
        if ledger is None and not head:
            _say_receipt(found.root, as_json=as_json)
            return
    store = ledger_at(ledger)
    try:
        verdict = _examined(store, keys, held, head or [], quiet=as_json)
    finally:
        store.close()
    _say(verdict, as_json=as_json)
    if not verdict.sound:
        raise typer.Exit(BROKEN)


def _examined(
    store: Store, keys: PublicKeys, held: list[Root], heads: list[str], *, quiet: bool
) -> Verdict:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from farthing.billing.plans import read_plans
    from farthing.billing.valuation import Valuer
    from farthing.ledger.verification import verify as verify_ledger

    valuer = Valuer(read_plans(os.environ.get("FARTHING_PLANS", "")))
    columns = SpinnerColumn(), TextColumn("{task.completed:,.0f} entries"), TimeElapsedColumn()
    console = Console(stderr=True)
    shown = console.is_terminal and not quiet
    with Progress(*columns, console=console, transient=True, disable=not shown) as progress:
        task = progress.add_task("", total=None)
        return verify_ledger(
            store,
            keys,
            _now_ms(),
            pricer=valuer,
            known=held,
            heads=heads,
            progress=lambda entries: progress.advance(task, entries),
        )


def _say(verdict: Verdict, *, as_json: bool) -> None:
    if as_json:
        document = {
            "sound": verdict.sound,
            **{name: getattr(verdict, name) for name in verdict.__struct_fields__},
        }
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
        return
    for text in verdict.broken:
        sys.stdout.write(f"BROKEN   {text}\n")
    for text in verdict.warnings:
        sys.stdout.write(f"warning  {text}\n")
    state = "sound" if verdict.sound else "broken"
    sys.stdout.write(
        f"The ledger is {state}: {verdict.entries} entries, {verdict.sealed} of them sealed, "
        f"{verdict.roots} roots.\n"
    )
    for tenant, digest in verdict.heads.items() if verdict.sound else ():
        sys.stdout.write(f"head of {tenant}: {digest}\n")


def _say_receipt(root: Root, *, as_json: bool) -> None:
    place = {"tenant": root.tenant, "hour": root.hour, "key_id": root.key_id}
    if as_json:
        sys.stdout.write(json.dumps({"sound": True, **place}, indent=2) + "\n")
    else:
        sys.stdout.write(
            f"The receipt is sound: its entry is one of {root.count} of {root.tenant} in "
            f"{root.hour}, signed with key {root.key_id}.\n"
        )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
