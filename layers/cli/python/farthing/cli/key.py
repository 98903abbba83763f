"""`farthing key`: a new caller's key."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def key(tenant: Annotated[str, typer.Argument(help="Who the key's calls are billed to.")]) -> None:
    """Make a key. It is shown this once; only its hash goes into FARTHING_KEYS."""
    from farthing.serving.keys import KeyRing, new_key

    secret, entry = new_key(tenant)
    KeyRing([entry])
    sys.stdout.write(f"key      {secret}\nsetting  FARTHING_KEYS={entry}\n")
