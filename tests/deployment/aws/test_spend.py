"""The alarm on spend counts what the meter charges, and its prices are the book's."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from farthing.billing.prices import read_price_book
from farthing.deployment.aws.expressions import NotArithmetic, evaluate, slopes
from farthing.deployment.aws.stack import make_stack, read_template


@pytest.mark.parametrize("region", ["us-east-1", "ap-east-1", "eu-south-1"])
def test_it_counts_a_minute_as_the_book_does(project: Any, region: str) -> None:
    stack = make_stack(read_template(project), {}, region)
    expression = stack.resources["SpendAlarm"].get("Metrics.0.Expression")
    seen = {
        "r_classify": 1000.0, "d_classify": 12_000.0, "r_embed": 40.0, "d_embed": 900.0,
        "r_search": 300.0, "d_search": 2_400.0,
    }  # fmt: skip
    book = read_price_book()
    gb_s = sum(
        Decimal(project.function(name).memory_mb) / 1024 * Decimal(str(seen[f"d_{name}"])) / 1000
        for name in ("classify", "embed", "search")
    )
    wanted = 1340 * book.price("lambda.requests", region).rate
    wanted += gb_s * book.price("lambda.duration.x86_64", region).rate
    assert evaluate(expression, seen) == pytest.approx(float(wanted), rel=1e-9)


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("a * 2 +", "is no arithmetic"),
        ("a + c", "names c"),
        ("a * b", "no sum of metrics times prices"),
        ("a + 1", "no sum of metrics times prices"),
        ("SUM(a)", "is no arithmetic on metrics"),
        ("a / 0", "divides by zero"),
    ],
)
def test_what_is_no_sum_is_said(expression: str, says: str) -> None:
    found = slopes(expression, ["a", "b"])
    assert isinstance(found, str)
    assert says in found


def test_an_expression_runs_no_code() -> None:
    with pytest.raises(NotArithmetic):
        evaluate("__import__('os').getpid()", {})
