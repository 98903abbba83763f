"""Budgets, scopes, rates and usage of a real server with a real ledger."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.functions.books import stay_within_a_day
from tests.functions.server import REQUEST_S, Server, farthing, run_to_end

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Serve

TITLE = "bosch series 4 free-standing fridge freezer 186cm stainless steel"
BUDGET_CALLS = 100
# Prices of its own, so that every call costs the same to the last digit.
PLANS = '[{"name": "flat", "usd_per_call": "0.001"}, {"name": "double", "markup": "2"}]'
# A refusal is not asked about again at once.
REFUSAL_STANDS_S = 1.1


@pytest.fixture(autouse=True)
def _one_day() -> None:
    stay_within_a_day()


class Shop:
    """A server, its ledger, and the commands that speak to the same ledger."""

    def __init__(self, serve: Serve, state: Path, **environ: str) -> None:
        entry = run_to_end(farthing("keys", "init"), {}).stdout.strip()
        self.environ = {
            "FARTHING_KEYS": entry.removeprefix("FARTHING_KEYS="),
            "FARTHING_PLANS": PLANS,
            "XDG_STATE_HOME": str(state),
            **environ,
        }
        self.server: Server = serve(farthing("serve", "--port", "{port}"), self.environ)

    def command(self, *arguments: str) -> Any:
        ended = run_to_end(farthing(*arguments), self.environ)
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout) if "--json" in arguments else ended.stdout

    def key(self, tenant: str, *options: str) -> dict[str, Any]:
        made: dict[str, Any] = self.command(
            "keys", "create", "--tenant", tenant, "--json", *options
        )
        return made

    def classify(self, key: str) -> Any:
        return self.server.client.post(
            "/v1/classify",
            json={"inputs": TITLE, "top_k": 1},
            headers={"authorization": f"Bearer {key}"},
        )

    def get(self, path: str, key: str) -> Any:
        return self.server.client.get(path, headers={"authorization": f"Bearer {key}"})

    def calls_of(self, tenant: str, wanted: int) -> dict[str, Any]:
        """What the ledger has of a tenant, once it has as many calls as wanted."""
        until = time.monotonic() + REQUEST_S
        while True:
            ended = run_to_end(
                farthing("bill", "usage", "--tenant", tenant, "--json"), self.environ
            )
            found = json.loads(ended.stdout) if ended.returncode == 0 else {"days": []}
            calls = sum(day["calls"] for day in found["days"])
            if calls >= wanted or time.monotonic() > until:
                return {"calls": calls, "total": found.get("total")}
            time.sleep(0.3)


@pytest.fixture
def shop(serve: Serve, tmp_path: Path) -> Shop:
    return Shop(serve, tmp_path / "state")


def test_a_budget_of_a_hundred_calls_buys_a_hundred_and_warns_before(shop: Shop) -> None:
    key = shop.key("acme", "--plan", "flat", "--budget-usd", "0.1", "--period", "month")["key"]
    with ThreadPoolExecutor(16) as callers:
        answers = list(callers.map(lambda _: shop.classify(key), range(BUDGET_CALLS + 40)))
    answered = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(answered) == BUDGET_CALLS
    assert sum(Decimal(each.json()["charge"]["total"]) for each in answered) == Decimal("0.1")
    warned = [each for each in answered if "x-farthing-budget-warning" in each.headers]
    assert 15 <= len(warned) <= 25
    for answer in refused:
        assert answer.status_code == 402, answer.text
        problem = answer.json()
        assert problem["type"] == "urn:farthing:problem:budget-spent"
        assert Decimal(str(problem["left_usd"])) < Decimal("0.001")
        assert problem["resets_at"].endswith("T00:00:00Z")
        assert int(answer.headers["retry-after"]) > 0
        assert problem["charge"]["total"] == "0"
    assert shop.calls_of("acme", BUDGET_CALLS) == {"calls": BUDGET_CALLS, "total": "0.1"}


def test_two_budgets_hold_both_and_a_changed_one_opens_again(shop: Shop) -> None:
    key = shop.key("acme", "--plan", "flat", "--budget-usd", "0.002", "--period", "day")["key"]
    shop.command("keys", "budget", "--tenant", "acme", "--budget-usd", "1", "--period", "month")
    assert [shop.classify(key).status_code for _ in range(3)] == [200, 200, 402]
    shop.command("keys", "budget", "--tenant", "acme", "--budget-usd", "0.003", "--period", "day")
    time.sleep(REFUSAL_STANDS_S)
    assert [shop.classify(key).status_code for _ in range(2)] == [200, 402]
    left = shop.command("keys", "list", "--tenant", "acme", "--json")[0]["budgets"]
    assert sorted(
        Decimal(each["left_usd"]) + Decimal(each["leased_usd"]) for each in left.values()
    ) == [
        Decimal(0),
        Decimal("0.997"),
    ]


def test_a_key_is_held_to_its_scope_its_rate_and_its_life(shop: Shop) -> None:
    narrow = shop.key("acme", "--scope", "embed")["key"]
    refused = shop.classify(narrow)
    assert refused.status_code == 403
    assert refused.json()["detail"].startswith("This route needs the scope classify")
    assert shop.get("/v1/usage", narrow).status_code == 403
    slow = shop.key("acme", "--calls-per-minute", "2")["key"]
    statuses = [shop.classify(slow) for _ in range(3)]
    assert [each.status_code for each in statuses] == [200, 200, 429]
    assert 0 < int(statuses[-1].headers["retry-after"]) <= 60


def test_a_revoked_key_is_refused_within_a_minute(shop: Shop) -> None:
    made = shop.key("acme")
    other = shop.key("acme")["key"]
    shop.command("keys", "revoke", "--tenant", "acme", made["id"])
    refused = shop.classify(made["key"])
    assert refused.status_code == 401
    assert "was revoked" in refused.json()["detail"]
    assert shop.classify(other).status_code == 200


def test_usage_is_a_tenants_own(shop: Shop) -> None:
    acme, bolt = shop.key("acme", "--plan", "double")["key"], shop.key("bolt")["key"]
    price = sum(Decimal(shop.classify(acme).json()["charge"]["total"]) for _ in range(3))
    shop.classify(bolt)
    shop.calls_of("acme", 3)
    shop.calls_of("bolt", 1)
    used = shop.get("/v1/usage", acme).json()
    assert (used["tenant"], used["calls"]) == ("acme", 3)
    assert Decimal(used["total"]) == price
    assert shop.get("/v1/usage", bolt).json()["calls"] == 1
    for query in ("since=yesterday", "since=2026-02-30", "since=2026-03-01&until=2026-01-01",
                  "since=2024-01-01&until=2026-01-01", "by=colour", "tenant=bolt"):  # fmt: skip
        refused = shop.get(f"/v1/usage?{query}", acme)
        assert refused.status_code == 422, query
    assert shop.server.client.get("/v1/usage").status_code == 401


def test_an_unknown_plan_in_a_key_is_refused(shop: Shop) -> None:
    ended = run_to_end(
        farthing("keys", "create", "--tenant", "acme", "--plan", "gold"), shop.environ
    )
    assert ended.returncode == 1
    assert "gold" in ended.stderr
    key = run_to_end(
        farthing("keys", "create", "--tenant", "acme", "--plan", "gold", "--json"),
        shop.environ | {"FARTHING_PLANS": '[{"name": "gold", "markup": "3"}]'},
    )
    refused = shop.classify(json.loads(key.stdout)["key"])
    assert refused.status_code == 403
    assert refused.json()["type"] == "urn:farthing:problem:forbidden"


@pytest.mark.parametrize("amount", ["-1", "nan", "inf", "1e9", "0.0000000000001", "ten", ""])
def test_an_absurd_budget_is_refused(tmp_path: Path, amount: str) -> None:
    command = farthing("keys", "create", "--tenant", "acme", "--budget-usd", amount)
    ended = run_to_end(command, {"XDG_STATE_HOME": str(tmp_path)})
    assert ended.returncode == 1
    assert "--budget-usd" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_budget_of_nothing_refuses_every_call(shop: Shop) -> None:
    key = shop.key("acme", "--budget-usd", "0")["key"]
    assert shop.classify(key).status_code == 402


def test_a_killed_server_has_lost_nothing(serve: Serve, tmp_path: Path) -> None:
    shop = Shop(serve, tmp_path / "state")
    key = shop.key("acme", "--plan", "flat", "--budget-usd", "0.1")["key"]
    for _ in range(20):
        assert shop.classify(key).status_code == 200
    shop.server.process.kill()
    shop.server.process.wait()
    again = Shop.__new__(Shop)
    again.environ = shop.environ
    again.server = serve(farthing("serve", "--port", "{port}"), shop.environ)
    assert again.classify(key).status_code == 200
    assert again.calls_of("acme", 21) == {"calls": 21, "total": "0.021"}
