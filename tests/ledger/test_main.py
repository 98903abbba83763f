"""`python -m farthing.ledger`: one settlement by any clock, against a real ledger file."""

from __future__ import annotations

import base64
import json
import sys
from typing import TYPE_CHECKING

import pytest

from farthing.billing.stores import open_store
from tests.core.entries import entry
from tests.functions.server import run_to_end

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = [sys.executable, "-m", "farthing.ledger"]
KEY = base64.b64encode(b"k" * 32).decode()


def test_a_run_seals_what_is_over_and_says_so_in_one_line(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'ledger.db'}"
    store = open_store(address)
    store.append([entry(number=number) for number in range(1, 6)])
    store.close()
    environ = {"FARTHING_LEDGER": address, "FARTHING_SIGNING_KEY": KEY}
    for roots in (1, 0):
        ended = run_to_end(COMMAND, environ)
        assert ended.returncode == 0, ended.stderr
        assert json.loads(ended.stdout)["settle"]["roots"] == roots
    store = open_store(address)
    assert [root.count for root in store.roots()] == [5]
    store.close()


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "FARTHING_LEDGER"),
        ({"FARTHING_LEDGER": "memory:"}, "FARTHING_SIGNING_KEY"),
        ({"FARTHING_LEDGER": "memory:", "FARTHING_SIGNING_KEY": "hunter2"}, "signing key"),
        ({"FARTHING_LEDGER": "ftp://hunter2@x/y", "FARTHING_SIGNING_KEY": KEY}, "FARTHING_LEDGER"),
    ],
)
def test_what_is_missing_or_wrong_is_one_sentence(environ: dict[str, str], said: str) -> None:
    ended = run_to_end(COMMAND, environ)
    assert ended.returncode == 1
    assert said in ended.stderr
    assert "hunter2" not in ended.stderr
    assert "Traceback" not in ended.stderr
