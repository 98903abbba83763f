"""What an answer of the cache tells, and what is kept of it: terms and budgets hold as ever."""

from __future__ import annotations

import itertools
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from farthing.billing.ledger import Entry
from farthing.billing.meter import meter_of
from farthing.billing.plans import read_plans
from farthing.billing.prices import read_price_book
from farthing.billing.shares import SharedTime
from farthing.billing.tenants import PICO_PER_USD, Budget, Tenant
from farthing.billing.valuation import Valuer
from farthing.money import plain
from farthing.serving.accounts import Accounts
from farthing.serving.claims import Claims
from farthing.serving.contracts.classify import Classify
from farthing.serving.envelope import Envelope, deadline_after
from farthing.serving.pipeline import Pipeline
from farthing.settings import read_settings
from tests.core.answerer import LetterModel

if TYPE_CHECKING:
    from farthing.serving.outcome import Outcome

# Two dollars a million tokens, a fifth of it for those that the cache has.
PLANS = '[{"name": "flat", "usd_per_million_tokens": 2, "cached": "0.2"}]'
CONTRACT = Classify()


class Shop:
    """A pipeline with a cache, and all that it recorded."""

    is_full = False

    def __init__(self, **settings: object) -> None:
        given = {"cache": "memory", "plans": PLANS, "plan": "flat", **settings}
        self.settings = read_settings({}, memory_mb=1024, arch="x86_64", **given)
        self.accounts = Accounts(self.settings)
        self.accounts.recorder = self
        meter = meter_of(read_price_book(), self.settings)
        models = {"classify": [LetterModel()]}
        self.pipeline = Pipeline(self.settings, models, meter, SharedTime(), self.accounts)
        self.entries: list[Entry] = []
        self._numbers = itertools.count()

    def record(self, *, key: tuple[str, int] | None = None, **fields: Any) -> None:
        self.entries.append(Entry(writer="w", number=len(self.entries), **fields))

    def close(self) -> None:
        self.pipeline.cache.close()

    def ask(self, *texts: str, caller: Claims | None = None) -> Outcome:
        envelope = Envelope(
            f"r{next(self._numbers)}", deadline_after(3_600_000), "acme", caller=caller
        )
        return self.pipeline.invoke(CONTRACT, {"inputs": list(texts)}, envelope)


def told(outcome: Outcome) -> tuple[object, ...]:
    usage = outcome.body["usage"]
    return usage["cache"], usage["prompt_tokens"], usage["cached_tokens"]


def test_answers_tell_and_entries_keep_what_the_cache_had() -> None:
    shop = Shop()
    outcomes = [shop.ask("abc"), shop.ask("abc"), shop.ask("abc", "defgh")]
    expected = [("miss", 3, 0), ("hit", 3, 3), ("miss", 8, 3)]
    assert [told(one) for one in outcomes] == expected
    kept = [one.usage for one in shop.entries]
    assert [(one.cache, one.prompt_tokens, one.cached_tokens) for one in kept] == expected
    ends = [one.headers["Server-Timing"].rpartition(", ")[2] for one in outcomes]
    assert ends == ["cache;desc=miss", "cache;desc=hit", "cache;desc=miss"]
    assert [one.kind for one in shop.entries] == ["answer"] * 3


def test_without_a_cache_timing_says_nothing_of_one() -> None:
    outcome = Shop(cache="off").ask("abc")
    assert told(outcome) == ("off", 3, 0)
    assert "cache" not in outcome.headers["Server-Timing"]


def test_what_is_told_is_what_the_ledger_makes_of_it() -> None:
    shop = Shop()
    outcomes = [shop.ask("abc"), shop.ask("abc", "defgh"), shop.ask("abc", "defgh")]
    millionths = [Decimal(6), Decimal(10) + Decimal("1.2"), Decimal("3.2")]
    totals = [one.body["charge"]["total"] for one in outcomes]
    assert [Decimal(total) * 10**6 for total in totals] == millionths
    valuer = Valuer(read_plans(PLANS))
    assert [plain(valuer.value(one).price.total) for one in shop.entries] == totals
    rules = [[line["rule"] for line in one.body["charge"]["lines"]] for one in outcomes]
    assert rules == [["plan.tokens"], ["plan.tokens", "plan.cached_tokens"], ["plan.cached_tokens"]]


def test_a_hit_is_refused_where_any_call_would_be() -> None:
    shop = Shop()
    assert shop.ask("abc").status == 200
    elsewhere = Claims(sub="acme", jti="a", iat=0, exp=2**40, scope="embed")
    assert shop.ask("abc", caller=elsewhere).status == 403
    seldom = Claims(sub="acme", jti="b", iat=0, exp=2**40, scope="classify", rpm=1)
    assert [shop.ask("abc", caller=seldom).status for _ in range(2)] == [200, 429]


def test_a_hit_spends_its_own_price_of_the_budget(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    shop = Shop(ledger=url)
    store = shop.accounts.store
    assert store is not None
    # Room for one answer of three tokens and for one hit of them: 6 and 1.2 millionths.
    store.put_tenant(Tenant(name="acme", budgets=(Budget("day", PICO_PER_USD * 75 // 10**7),)))
    statuses = [shop.ask("abc").status for _ in range(3)]
    shop.accounts.close()
    assert statuses == [200, 200, 402]


@pytest.mark.parametrize("text", ["abc", "xyz"])
def test_the_answer_is_the_same_either_way(text: str) -> None:
    shop = Shop()
    first, second = (json.dumps(shop.ask(text).body["results"]) for _ in range(2))
    assert first == second == json.dumps(Shop(cache="off").ask(text).body["results"])
