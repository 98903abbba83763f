"""`farthing bill seal|receipt|verify|settle|reconcile` on a real SQLite ledger, by exit codes."""

from __future__ import annotations

import csv
import datetime as dt
import json
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from farthing.billing import periods
from farthing.billing.stores import open_store
from farthing.cli.main import app
from farthing.errors import FarthingError
from tests.ledger.attempts import HOUR_MS, MINUTE_MS, START_MS, a_record, an_entry
from tests.ledger.test_settlement_records import REPORT, log_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW_MS = START_MS + 3 * HOUR_MS + 30 * MINUTE_MS
WRITER = "a" * 16
CHANGED = """body = replace(body, '"prompt_tokens":7', '"prompt_tokens":8')"""
REBOOKED = "tenant = 'bolt', body = replace(body, 'acme', 'bolt')"
RENUMBERED = """number = 900, body = replace(body, '"number":5', '"number":900')"""
RENAMED = "body = replace(body, 'acme', 'bolt')"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def bill(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`bill("verify", …)`: what the command says, beside the folder's ledger; by its exit code.

    It is always the same moment: no hour closes meanwhile, and no month begins.
    """
    monkeypatch.chdir(folder)
    monkeypatch.setattr(time, "time_ns", lambda: NOW_MS * 1_000_000)
    monkeypatch.setattr(periods, "this_month", lambda: periods.read_month("2026-11"))
    monkeypatch.delenv("FARTHING_SIGNING_KEY", raising=False)

    def run(*arguments: str, rc: int = 0, **environ: str) -> str:
        environ = {"FARTHING_LEDGER": f"sqlite:///{folder}/l.db", **environ}
        done = CliRunner().invoke(app, ["bill", *arguments], env=environ)
        if isinstance(done.exception, FarthingError):
            assert rc == 1
            return str(done.exception)
        assert done.exit_code == rc, done.output
        assert done.exception is None or isinstance(done.exception, SystemExit)
        return done.output

    return run


@pytest.fixture
def ledger(folder: Path) -> Path:
    """A ledger of two tenants, most of whose hours are closed."""
    store = open_store(f"sqlite:///{folder}/l.db")
    store.append(
        an_entry(n, at_ms=START_MS + n * MINUTE_MS, tenant="acme" if n % 3 else "bolt")
        for n in range(1, 181)
    )
    store.close()
    return folder / "l.db"


def change(ledger: Path, statement: str, *values: Any) -> None:
    with sqlite3.connect(ledger) as connection:
        assert connection.execute(statement, values).rowcount == 1
    connection.close()


def test_there_is_no_ledger_to_verify_seal_or_compare(
    bill: Callable[..., Any], folder: Path
) -> None:
    (folder / "x.csv").write_text("")
    for command in (
        ["verify"], ["seal"], ["settle"], ["reconcile", "--export", "x.csv"],
        ["receipt", "--tenant", "acme", "--request-id", "x"],
    ):  # fmt: skip
        assert "There is no ledger at" in bill(*command, rc=2)


@pytest.mark.usefixtures("ledger")
def test_a_first_seal_makes_a_key_and_says_so_and_the_ledger_verifies(
    bill: Callable[..., Any], folder: Path
) -> None:
    assert "made a signing key" in bill("seal")
    assert "Sealed 0 entries" in bill("seal")
    assert (folder / "l.db.key").stat().st_mode & 0o777 == 0o600
    found = json.loads(bill("verify", "--json"))
    assert found["sound"]
    assert found["entries"] == 180
    assert found["sealed"] > 0
    assert "The ledger is sound: 180 entries" in bill("verify", "--head", found["heads"]["acme"])
    assert "has the head that was noted" in bill("verify", "--head", "0" * 64, rc=1)


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        (f"UPDATE entries SET {CHANGED} WHERE number = 5", f"Entry {WRITER}/5 of acme"),
        ("DELETE FROM entries WHERE number = 5", f"Entry {WRITER}/5 of acme"),
        (f"UPDATE entries SET {REBOOKED} WHERE number = 5", f"Entry {WRITER}/5 of bolt"),
        (f"UPDATE entries SET {RENUMBERED} WHERE number = 5", f"Entry {WRITER}/5 of acme"),
        ("UPDATE entries SET body = '{' WHERE number = 5", ""),
        ("DELETE FROM roots WHERE tenant = 'acme' AND sequence = 1", "root 1 is missing"),
        (f"UPDATE roots SET {RENAMED} WHERE tenant = 'acme' AND sequence = 1", "root"),
    ],
)
def test_a_tampered_ledger_fails_by_name(
    statement: str, named: str, bill: Callable[..., Any], ledger: Path
) -> None:
    bill("seal")
    change(ledger, statement)
    assert named in bill("verify", rc=1)


@pytest.mark.usefixtures("ledger")
def test_a_receipt_verifies_offline_and_against_the_ledger(
    bill: Callable[..., Any], folder: Path
) -> None:
    bill("seal", "--public-keys", "public.json")
    bill("receipt", "--tenant", "acme", "--request-id", "aaaa-7", "--out", "r.json")
    offline = {"FARTHING_LEDGER": "", "XDG_STATE_HOME": "/nonexistent"}
    told = bill("verify", "--receipt", "r.json", "--public-keys", "public.json", **offline)
    assert "The receipt is sound" in told
    assert "sound" in bill("verify", "--receipt", "r.json", "--ledger", f"sqlite:///{folder}/l.db")
    forged = (folder / "r.json").read_text().replace('"prompt_tokens": 7', '"prompt_tokens": 1')
    (folder / "forged.json").write_text(forged)
    keys = ("--public-keys", "public.json")
    assert "entry was changed" in bill("verify", "--receipt", "forged.json", *keys, rc=1)
    assert "not known here" in bill("verify", "--receipt", "r.json", rc=1, **offline)
    assert "no entry of that tenant" in bill(
        "receipt", "--tenant", "bolt", "--request-id", "aaaa-7", rc=1
    )


def test_a_history_sealed_anew_with_the_same_key_contradicts_a_receipt(
    bill: Callable[..., Any], ledger: Path, folder: Path
) -> None:
    bill("seal")
    bill("receipt", "--tenant", "acme", "--request-id", "aaaa-7", "--out", "r.json")
    with sqlite3.connect(ledger) as connection:
        anew = f"UPDATE entries SET {CHANGED} WHERE number = 7"
        for statement in ("DELETE FROM roots", "DELETE FROM marks", anew):
            connection.execute(statement)
    connection.close()
    bill("seal")
    bill("verify")
    url = f"sqlite:///{folder}/l.db"
    assert "written anew" in bill("verify", "--receipt", "r.json", "--ledger", url, rc=1)
    (folder / "l.db.key").unlink()
    public = (folder / "l.db.keys.json").read_text()
    with sqlite3.connect(ledger) as connection:
        connection.execute("DELETE FROM roots")
        connection.execute("DELETE FROM marks")
    connection.close()
    bill("seal")
    (folder / "public.json").write_text(public)
    assert "a key that is not known" in bill("verify", "--public-keys", "public.json", rc=1)


def test_a_ledger_that_is_no_file_needs_a_key_in_the_environment(bill: Callable[..., Any]) -> None:
    assert "Set FARTHING_SIGNING_KEY" in bill("seal", rc=1, FARTHING_LEDGER="memory:")
    assert "not the base64" in bill(
        "seal", rc=1, FARTHING_LEDGER="memory:", FARTHING_SIGNING_KEY="secret!"
    )


def test_logs_are_settled_into_a_new_ledger_and_reconciled(
    bill: Callable[..., Any], folder: Path
) -> None:
    entry = an_entry(1, request_id="r-1", at_ms=NOW_MS)
    report = REPORT.split("\t", 1)[1].replace("662", "12").replace("512 MB", "1024 MB")
    log = [*log_of(entry), f"REPORT RequestId: r-1\t{report}", "REPORT RequestId: broken"]
    (folder / "log.txt").write_text("\n".join(log))
    found = json.loads(bill("settle", "--log", "log.txt", "--json").split("farthing:")[0])
    assert found["read"] == {"entries": 1, "records": 1, "faults": 1, "wordless": 0}
    (function,) = found["functions"]
    assert (function["matched"], function["drift_ppm"]) == (1, 90909)
    assert {line["rule"].rsplit(".", 1)[1] for line in found["month"]} == {"free_tier"}
    told = bill("settle", "--log", "log.txt")
    assert "log.txt:4 was left out: Duration is missing" in told
    assert "settlement.duration" in told
    arn = "arn:aws:lambda:us-east-1:1:function:farthing-classify"
    began = dt.datetime.fromtimestamp(NOW_MS / 1000, tz=dt.UTC).strftime("%Y-%m-%dT%H:00:00Z")
    with (folder / "cur.csv").open("w", newline="") as file:
        csv.writer(file).writerows([
            ["line_item_product_code", "line_item_usage_type", "line_item_usage_amount",
             "line_item_unblended_cost", "line_item_line_item_type", "line_item_resource_id",
             "line_item_usage_start_date"],
            ["AWSLambda", "Request", "1", "0.0000002", "Usage", arn, began],
            ["AWSLambda", "Lambda-GB-Second", "0.012", "0.0000002000", "Usage", arn, began],
        ])  # fmt: skip
    assert "Lambda-GB-Second" in bill("reconcile", "--export", "cur.csv")
    assert json.loads(bill("reconcile", "--export", "cur.csv", "--json"))["lines"] == 2
    text = (folder / "cur.csv").read_text().replace(",0.0000002,", ",0.5,")
    (folder / "dear.csv").write_text(text)
    assert "billed at 0.5" in bill("reconcile", "--export", "dear.csv", rc=1)
    bill("reconcile", "--export", "dear.csv", "--tolerance-usd", "1")
    assert "nothing of 2020-01" in bill(
        "reconcile", "--export", "cur.csv", "--month", "2020-01", rc=2
    )
    assert "no amount" in bill("reconcile", "--export", "cur.csv", "--tolerance-usd", "much", rc=1)


def test_records_alone_make_a_ledger_too(bill: Callable[..., Any], folder: Path) -> None:
    (folder / "log.txt").write_text(REPORT)
    found = json.loads(bill("settle", "--log", "log.txt", "--function", "classify", "--json"))
    assert found["functions"][0]["unpriced"] == 1
    store = open_store(f"sqlite:///{folder}/l.db")
    (record,) = store.records(0, 2**50)
    assert record.function == a_record("x", function="classify").function
    store.close()
