"""Statements: what is sold, what is given back, and what the house keeps."""

from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.billing.invoices import Statement, statement_of, statements_of, usage_of
from farthing.billing.ledger import Entry
from farthing.billing.meter import HOUSE
from farthing.billing.periods import MS_PER_DAY, read_days
from farthing.billing.plans import Plan, Volume, plan_id
from farthing.billing.rollups import REPEATS_WITHIN_MS, SoldOnce
from farthing.billing.valuation import Valuer
from farthing.errors import LedgerError
from tests.core.entries import FC, KNATIVE, MONTH, entry

AT_COST = Valuer({})
# One request and a millisecond of 1 GB on Lambda.
CALL = Decimal("0.0000002166667")
GOLD = Plan(
    name="gold",
    usd_per_call=Decimal("0.001"),
    usd_per_million_tokens=Decimal(2),
    free_calls=2,
    free_tokens=15,
    volumes=(Volume(50, Decimal("0.1")), Volume(70, Decimal("0.5"))),
)


def invoice(entries: Sequence[Entry], *plans: Plan) -> Statement:
    valuer = Valuer({plan_id(plan): plan for plan in plans})
    return statement_of("acme", entries, valuer, MONTH)


def amounts(statement: Statement) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for line in statement.lines:
        found[line.line.rule] = found.get(line.line.rule, Decimal(0)) + line.line.amount
    return found


def test_lines_are_by_day_task_model_and_rule_and_add_up_to_the_total() -> None:
    entries = [
        entry(1),
        entry(2, task="embed", model="all-minilm-l6-v2"),
        entry(3, at_ms=MONTH.since_ms + MS_PER_DAY),
        entry(4, at_ms=MONTH.since_ms + MS_PER_DAY),
    ]
    statement = invoice(entries)
    places = [(one.day, one.task, one.line.rule, one.line.quantity) for one in statement.lines]
    assert places == [
        ("2026-11-01", "classify", "lambda.requests", 1),
        ("2026-11-01", "classify", "lambda.duration.x86_64", Decimal("0.001")),
        ("2026-11-01", "embed", "lambda.requests", 1),
        ("2026-11-01", "embed", "lambda.duration.x86_64", Decimal("0.001")),
        ("2026-11-02", "classify", "lambda.requests", 2),
        ("2026-11-02", "classify", "lambda.duration.x86_64", Decimal("0.002")),
    ]
    assert statement.total == 4 * CALL == sum(amounts(statement).values())
    assert [(day.name, day.calls, day.price) for day in statement.days] == [
        ("2026-11-01", 2, 2 * CALL),
        ("2026-11-02", 2, 2 * CALL),
    ]


def test_the_json_has_the_documented_shape_and_plain_decimals() -> None:
    told = invoice([entry()]).as_json()
    assert {name: told[name] for name in ("tenant", "since", "until", "currency", "total")} == {
        "tenant": "acme",
        "since": "2026-11-01",
        "until": "2026-11-30",
        "currency": "USD",
        "total": "0.0000002166667",
    }
    lines, days = told["lines"], told["days"]
    assert isinstance(lines, list)
    assert isinstance(days, list)
    assert lines[0]["rate"] == "0.0000002"
    assert days[0]["busy_ms"] == 1.0


def test_an_answer_to_a_request_that_was_answered_costs_again_and_is_sold_once() -> None:
    entries = [
        entry(1, request_id="again"),
        entry(2, request_id="again", at_ms=MONTH.since_ms + 5),
        entry(3, request_id="again", at_ms=MONTH.since_ms + 6, function="embed"),
    ]
    statement = invoice(entries)
    assert statement.total == 2 * CALL
    (day,) = statement.days
    assert (day.calls, day.repeats, day.cost) == (2, 1, 3 * CALL)


def test_a_repeat_in_the_next_month_is_not_sold_there() -> None:
    before = entry(1, request_id="again", at_ms=MONTH.since_ms - 60_000)
    after = entry(2, request_id="again")
    statement = invoice([before, after])
    assert statement.total == 0
    assert statement.days[0].cost == CALL


def test_an_id_that_another_tenant_has_too_suppresses_nothing() -> None:
    entries = [entry(1, request_id="same", tenant="globex"), entry(2, request_id="same")]
    found = statements_of(entries, AT_COST, MONTH)
    assert {tenant: one.total for tenant, one in found.items()} == {"acme": CALL, "globex": CALL}
    assert found["acme"] == statement_of("acme", entries[1:], AT_COST, MONTH)


def test_a_refusal_is_no_first_answer() -> None:
    entries = [
        entry(1, request_id="again", kind="refusal", tenant=HOUSE, status=503),
        entry(2, request_id="again"),
    ]
    found = statements_of(entries, AT_COST, MONTH)
    assert {tenant: one.total for tenant, one in found.items()} == {"acme": CALL}


def test_what_was_sold_is_forgotten_after_a_day_so_that_memory_is_bounded() -> None:
    sold = SoldOnce()
    assert sold.is_first(entry(1, request_id="a"))
    later = MONTH.since_ms + REPEATS_WITHIN_MS
    assert not sold.is_first(entry(2, request_id="a", at_ms=later - 1))
    assert sold.is_first(entry(3, request_id="b", at_ms=later))
    assert sold.is_first(entry(4, request_id="a", at_ms=later))


def test_the_house_bears_refusals_and_idle_time() -> None:
    entries = [
        entry(1, kind="refusal", tenant=HOUSE, status=402),
        entry(2, kind="idle", tenant=HOUSE, tariff=KNATIVE, busy_ns=10**9),
        entry(3, kind="idle", tenant=HOUSE, tariff=FC, busy_ns=10**9),
        entry(4),
    ]
    rows = usage_of(entries, AT_COST, MONTH, "tenant")
    (house,), (acme,) = rows[HOUSE], rows["acme"]
    pod = Decimal("0.000010163729660") + Decimal("0.000001116051836")
    assert (house.refusals, house.idle_ns, house.price) == (1, 2 * 10**9, 0)
    assert house.cost == CALL + pod
    assert (acme.calls, acme.cost, acme.price) == (1, CALL, CALL)


def test_usage_is_told_by_day_by_task_and_by_model() -> None:
    entries = [entry(1), entry(2, task="embed", cache="hit"), entry(3, model="other")]
    counted = {
        by: [
            (row.name, row.calls, row.cached)
            for row in usage_of(entries, AT_COST, MONTH, by)["acme"]
        ]
        for by in ("day", "task", "model")
    }
    assert counted == {
        "day": [("2026-11-01", 3, 1)],
        "task": [("classify", 2, 0), ("embed", 1, 1)],
        "model": [("other", 1, 0), ("product-classifier", 2, 1)],
    }


def test_a_month_credits_free_calls_then_free_tokens_then_volume() -> None:
    # Ten tokens a call: calls 1 and 2 are free; tokens 20 to 35 are free; from 50 on a tenth off,
    # from 70 on half. Ninety tokens in all.
    name = plan_id(GOLD)
    statement = invoice([entry(number, plan=name) for number in range(9)], GOLD)
    token = Decimal("0.000002")
    assert amounts(statement) == {
        "plan.calls": Decimal("0.009"),
        "plan.tokens": 90 * token,
        "plan.free_calls": -2 * (Decimal("0.001") + 10 * token),
        "plan.free_tokens": -15 * token,
        "plan.volume": -(20 * token * Decimal("0.1") + 20 * token * Decimal("0.5")),
    }
    assert statement.total == sum(amounts(statement).values())


def test_credits_are_the_months_and_no_days() -> None:
    name = plan_id(GOLD)
    days = read_days("2026-11-01", "2026-11-02")
    statement = statement_of("acme", [entry(plan=name)], Valuer({name: GOLD}), days)
    assert not statement.credited
    assert statement.total == Decimal("0.00102")


def test_a_plan_that_changes_goes_on_counting_and_keeps_old_prices() -> None:
    old = Plan(name="gold", usd_per_call=Decimal("0.001"), free_calls=2)
    new = Plan(name="gold", usd_per_call=Decimal("0.002"), free_calls=3)
    plans = [plan_id(old)] * 2 + [plan_id(new)] * 2
    statement = invoice([entry(number, plan=plan) for number, plan in enumerate(plans)], old, new)
    assert amounts(statement) == {
        "plan.calls": Decimal("0.006"),
        "plan.free_calls": -Decimal("0.004"),
    }


def test_a_capped_price_is_on_the_invoice_as_it_was_told() -> None:
    entries = [entry(1), entry(2, price_max_pico=100_000)]
    statement = invoice(entries)
    assert statement.total == CALL + Decimal("0.0000001")
    assert amounts(statement)["budget.cap"] == Decimal("0.0000001") - CALL


def test_an_unknown_plan_is_named_and_nothing_is_guessed() -> None:
    with pytest.raises(LedgerError, match="gold@12345678"):
        invoice([entry(plan="gold@12345678")])


def test_a_tenant_without_entries_has_an_empty_statement() -> None:
    statement = invoice([])
    assert (statement.total, statement.lines, statement.days) == (0, (), ())


@given(
    calls=st.lists(
        st.tuples(st.integers(0, 10**8), st.integers(0, 200), st.sampled_from(["", "gold"])),
        max_size=20,
    )
)
def test_the_statement_is_what_the_answers_told_less_the_credits(
    calls: list[tuple[int, int, str]],
) -> None:
    names = {"": "", "gold": plan_id(GOLD)}
    entries = [
        entry(number, busy_ns=busy_ns, prompt_tokens=tokens, plan=names[plan])
        for number, (busy_ns, tokens, plan) in enumerate(calls)
    ]
    valuer = Valuer({names["gold"]: GOLD})
    statement = invoice(entries, GOLD)
    told = sum(valuer.value(one).price.total for one in entries)
    given_back = sum(one.line.amount for one in statement.lines if not one.day)
    assert statement.total == told + given_back
    assert sum(day.price for day in statement.days) == told
    assert given_back <= 0 <= statement.total
