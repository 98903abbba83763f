"""When a newer model replaces an older one; the test's chances are worked out by hand."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("scipy")

from farthing.forge.contest.champion import against
from farthing.forge.contest.errors import ChampionStays, ContestInvalid
from farthing.forge.evaluate.price import Bill, Price
from farthing.forge.evaluate.report import Report
from farthing.forge.evaluate.scores import Scores
from farthing.forge.evaluate.timing import Times

ROWS = 1000


def report(name: str, right: str, usd: str = "0.30", **price: object) -> Report:
    scores = Scores(
        rows=len(right),
        rows_digest="same",
        accuracy=right.count("1") / len(right),
        accuracy_low=0.0,
        accuracy_high=1.0,
        macro_f1=0.0,
        calibration_error=0.0,
        out_of_scope_rows=0,
        out_of_scope_recall=None,
        teacher_accuracy=None,
        teacher_share=None,
        teacher_agreement=None,
        unknown_labels=(),
        unknown_label_rows=0,
        classes=(),
        reliability=(),
        right=right,
    )
    bill = Bill(Decimal(usd), Decimal("0.2"), Decimal(usd) - Decimal("0.2"), 1.0)
    where = {"platform": "lambda", "region": "us-east-1", "arch": "x86_64", **price}
    return Report(
        name=name,
        digest=name,
        task="classify",
        quantisation="",
        bytes=1,
        parameters=1,
        scores=scores,
        likeness=None,
        drift=None,
        unknown_token_share=None,
        times=Times(1, 1, 1.0, 1.0, 1.0, (1,)),
        start=None,
        price=Price(
            **where,  # type: ignore[arg-type]
            price_book="2026-11-21",
            asked_mb=1024,
            needed_mb=0,
            memory_mb=1024,
            vcpu_milli=578,
            warm=bill,
            cold=None,
        ),
        warnings=(),
    )


def pair(lost: int, won: int, usd: str = "0.30") -> tuple[Report, Report]:
    """Champion and challenger: the first alone right on `lost` rows, the second on `won`."""
    both = ROWS - lost - won
    champion = "1" * both + "1" * lost + "0" * won
    challenger = "1" * both + "0" * lost + "1" * won
    return report("old", champion), report("new", challenger, usd)


def test_a_margin_more_accurate_wins_at_any_price() -> None:
    verdict = against(*pair(lost=3, won=5, usd="0.90"), margin=0.002)
    assert verdict.wins
    assert verdict.gain == pytest.approx(0.002)
    assert (verdict.champion_only_right, verdict.challenger_only_right) == (3, 5)
    assert "more accurate by the margin: +0.20 points" in verdict.why
    verdict.require()


def test_as_accurate_and_cheaper_wins() -> None:
    verdict = against(*pair(lost=4, won=4, usd="0.24"), margin=0.1)
    assert verdict.wins
    assert verdict.saved_share == pytest.approx(0.2)
    assert "no less accurate and cheaper by the margin" in verdict.why


def test_neither_more_accurate_nor_cheaper_stays() -> None:
    verdict = against(*pair(lost=4, won=5, usd="0.29"), margin=0.1)
    assert not verdict.wins
    with pytest.raises(
        ChampionStays, match=r"new was to replace old by a margin of 0\.1\. .*Keep the bundle"
    ):
        verdict.require()


def test_a_saving_within_the_noise_of_measuring_is_none() -> None:
    assert not against(*pair(lost=0, won=0, usd="0.298"), margin=0.0001).wins
    assert against(*pair(lost=0, won=0, usd="0.296"), margin=0.0001).wins


def test_less_accurate_by_more_than_half_the_margin_stays_however_cheap() -> None:
    verdict = against(*pair(lost=52, won=1, usd="0.21"), margin=0.1)
    assert not verdict.wins
    assert "more than half the margin" in verdict.why


def test_less_accurate_beyond_chance_stays_however_cheap() -> None:
    # Five rows lost and none won: 1/32 by chance. Four: 1/16.
    beyond = against(*pair(lost=5, won=0, usd="0.21"), margin=0.1)
    assert beyond.worse_p == pytest.approx(1 / 32)
    assert not beyond.wins
    assert "beyond chance (p = 0.031)" in beyond.why
    within = against(*pair(lost=4, won=0, usd="0.21"), margin=0.1)
    assert within.worse_p == pytest.approx(1 / 16)
    assert within.wins


def test_the_chance_counts_only_rows_on_which_one_is_right() -> None:
    # P(X >= 3) of 4 fair coins = 5/16.
    assert against(*pair(lost=3, won=1), margin=0.1).worse_p == pytest.approx(5 / 16)
    assert against(*pair(lost=0, won=0), margin=0.1).worse_p == 1.0


def test_a_bundle_never_replaces_itself() -> None:
    old, new = pair(lost=0, won=9, usd="0.21")
    verdict = against(old, msgspec.structs.replace(new, digest=old.digest), margin=0.0)
    assert not verdict.wins
    assert verdict.why == "Both are the same bundle."


def test_no_margin_still_asks_for_something() -> None:
    assert not against(*pair(lost=1, won=1), margin=0.0).wins
    assert against(*pair(lost=1, won=2), margin=0.0).wins


def test_other_rows_or_other_prices_are_not_compared() -> None:
    old, new = pair(lost=1, won=2)
    assert new.scores is not None
    other_rows = msgspec.structs.replace(new.scores, rows_digest="other")
    with pytest.raises(ContestInvalid, match="Score both on the same"):
        against(old, msgspec.structs.replace(new, scores=other_rows), 0.1)
    with pytest.raises(ContestInvalid, match="Price both alike"):
        against(old, report("arm", "1" * ROWS, arch="arm64"), 0.1)
    with pytest.raises(ContestInvalid, match="Compare two classifiers"):
        against(old, msgspec.structs.replace(new, scores=None), 0.1)
