"""`farthing bill usage` and `farthing bill invoice`, as they are typed."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import pytest

from farthing.billing.meter import HOUSE
from farthing.billing.periods import MS_PER_DAY
from farthing.billing.plans import Plan, plan_id
from farthing.billing.stores import open_store
from farthing.billing.tenants import Tenant
from farthing.cli.main import main
from tests.core.entries import KNATIVE, MONTH, entry

GOLD = Plan(name="gold", markup=Decimal("1.25"))
PLANS = '[{"name": "gold", "markup": "1.25"}]'
NOVEMBER = ("--month", "2026-11")


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def bill(*arguments: str, **environ: str) -> Done:
    """What the command prints and exits with; the process is this one, for speed."""
    stdout, stderr = io.StringIO(), io.StringIO()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FARTHING")}
    environ = {**clean, "COLUMNS": "160", "FARTHING_PLANS": PLANS, **environ}
    with (
        mock.patch.dict(os.environ, environ, clear=True),
        mock.patch.object(sys, "argv", ["farthing", "bill", *arguments]),
        redirect_stdout(stdout),
        redirect_stderr(stderr),
        pytest.raises(SystemExit) as ended,
    ):
        main()
        sys.exit(0)
    code = ended.value.code
    if isinstance(code, str):
        return Done(1, stdout.getvalue(), stderr.getvalue() + code)
    return Done(int(code or 0), stdout.getvalue(), stderr.getvalue())


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two tenants' November, the house's part of it, and a tenant that never called."""
    url = f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'ledger.db'}"
    store = open_store(url)
    store.put_tenant(Tenant(name="silent"))
    store.append(
        [
            entry(1, plan=plan_id(GOLD)),
            entry(2, plan=plan_id(GOLD), task="embed", model="all-minilm-l6-v2"),
            entry(3, plan=plan_id(GOLD), at_ms=MONTH.since_ms + MS_PER_DAY),
            entry(4, tenant="globex"),
            entry(5, tenant=HOUSE, kind="refusal", status=402),
            entry(6, tenant=HOUSE, kind="idle", tariff=KNATIVE, busy_ns=10**9),
        ]
    )
    store.close()
    return url


def test_usage_json_is_for_machines(ledger: str) -> None:
    done = bill("usage", "--tenant", "acme", *NOVEMBER, "--json", "--ledger", ledger)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["tenant"], told["since"], told["until"]) == ("acme", "2026-11-01", "2026-11-30")
    assert Decimal(told["total"]) == 3 * Decimal("0.0000002166667") * Decimal("1.25")
    assert sum(Decimal(line["amount"]) for line in told["lines"]) == Decimal(told["total"])
    assert [day["calls"] for day in told["days"]] == [2, 1]


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("day", ["2026-11-01", "2026-11-02"]),
        ("task", ["classify", "embed"]),
        ("model", ["all-minilm-l6-v2", "product-classifier"]),
    ],
)
def test_usage_is_shown_by_what_is_asked(ledger: str, by: str, names: list[str]) -> None:
    asked = ("usage", "--tenant", "acme", *NOVEMBER, "--by", by)
    shown = bill(*asked, FARTHING_LEDGER=ledger)
    assert shown.returncode == 0, shown.stderr
    assert all(name in shown.stdout for name in names)
    rows = csv.DictReader(io.StringIO(bill(*asked, "--csv", FARTHING_LEDGER=ledger).stdout))
    assert [row["name"] for row in rows] == names


def test_what_the_cache_answered_is_shown_where_it_answered_anything(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    store = open_store(url)
    store.append([entry(1, cache="hit", cached_tokens=10), entry(2, cached_tokens=3), entry(3)])
    store.close()
    asked = ("usage", "--tenant", "acme", *NOVEMBER, "--ledger", url)
    table = " ".join(bill(*asked).stdout.split())
    assert "calls hits tokens cached tokens busy ms" in table
    assert "2026-11-01 3 1 30 13 3" in table
    (row,) = csv.DictReader(io.StringIO(bill(*asked, "--csv").stdout))
    assert (row["cached"], row["cached_tokens"]) == ("1", "13")


def test_days_narrow_the_period(ledger: str) -> None:
    done = bill(
        *("usage", "--tenant", "acme", "--since", "2026-11-02", "--until", "2026-11-02"),
        *("--json", "--ledger", ledger),
    )
    assert [day["name"] for day in json.loads(done.stdout)["days"]] == ["2026-11-02"]


def test_all_tenants_are_shown_on_both_bases(ledger: str) -> None:
    shown = bill("usage", *NOVEMBER, "--ledger", ledger)
    assert shown.returncode == 0, shown.stderr
    for word in ("acme", "globex", "house", "loaded USD", "refused"):
        assert word in shown.stdout
    told = json.loads(bill("usage", *NOVEMBER, "--json", "--ledger", ledger).stdout)
    cost = sum(Decimal(tenant["cost"]) for tenant in told["tenants"])
    loaded = [Decimal(one["loaded_cost"]) for one in told["tenants"] if one["name"] != HOUSE]
    assert sum(loaded) == cost


def test_an_invoice_is_a_table_a_csv_and_json_of_the_same_total(ledger: str) -> None:
    asked = ("invoice", "--tenant", "acme", *NOVEMBER, "--ledger", ledger)
    told = json.loads(bill(*asked, "--json").stdout)
    rows = csv.DictReader(io.StringIO(bill(*asked, "--csv").stdout))
    assert sum(Decimal(row["amount"]) for row in rows) == Decimal(told["total"])
    shown = bill(*asked).stdout
    assert f"Total {told['total']} USD, exactly." in shown
    assert "plan.markup" in shown


def test_an_invoice_for_a_person_is_a_page(ledger: str, tmp_path: Path) -> None:
    file = tmp_path / "invoice.html"
    asked = ("invoice", "--tenant", "acme", *NOVEMBER, "--ledger", ledger)
    done = bill(*asked, "--html", str(file))
    assert done.returncode == 0, done.stderr
    assert str(file) in done.stderr
    assert "<h1>Invoice</h1>" in file.read_text(encoding="utf-8")
    done = bill(*asked, "--html", str(tmp_path / "nowhere" / "invoice.html"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "Name another file" in done.stderr


def test_a_tenant_that_used_nothing_owes_nothing(ledger: str) -> None:
    asked = ("invoice", "--tenant", "silent", *NOVEMBER, "--json", "--ledger", ledger)
    assert json.loads(bill(*asked).stdout)["total"] == "0"
    later = ("usage", "--tenant", "acme", "--month", "2027-01", "--json", "--ledger", ledger)
    assert json.loads(bill(*later).stdout)["days"] == []


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (("usage", "--tenant", "nobody"), "no tenant 'nobody'", 1),
        (("invoice", "--tenant", "nobody"), "no tenant 'nobody'", 1),
        (("usage", "--tenant", "acme", "--month", "2026-13"), "no month", 1),
        (("usage", "--tenant", "acme", "--since", "2026-02-30"), "no day", 1),
        (("usage", "--tenant", "acme", *NOVEMBER, "--since", "2026-11-01"), "Give --month, or", 1),
        (("usage", "--tenant", "acme", "--by", "moon"), "moon", 2),
    ],
)
def test_bad_asks_end_in_a_sentence(
    ledger: str, arguments: tuple[str, ...], said: str, code: int
) -> None:
    done = bill(*arguments, "--ledger", ledger)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_ledger_the_exit_code_is_two(tmp_path: Path) -> None:
    for command in ("usage", "invoice"):
        url = f"sqlite:///{tmp_path}/none.db"
        done = bill(command, "--tenant", "acme", "--ledger", url)
        assert done.returncode == 2
        assert "There is no ledger" in done.stderr
        assert not (tmp_path / "none.db").exists()


def test_terms_that_are_gone_are_named_rather_than_guessed(ledger: str) -> None:
    asked = ("invoice", "--tenant", "acme", *NOVEMBER, "--ledger", ledger)
    done = bill(*asked, FARTHING_PLANS="")
    assert (done.returncode, done.stdout) == (1, "")
    assert plan_id(GOLD) in done.stderr


def test_the_installed_command_says_the_same(ledger: str) -> None:
    asked = ("usage", "--tenant", "acme", *NOVEMBER, "--json", "--ledger", ledger)
    done = subprocess.run(
        [Path(sys.executable).with_name("farthing"), "bill", *asked],
        env={"PATH": os.environ["PATH"], "FARTHING_PLANS": PLANS},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == bill(*asked).stdout
