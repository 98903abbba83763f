"""Measures agree with trec_eval's own code, and p with scipy's t-test where that is right."""

from __future__ import annotations

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from farthing.indexing.evaluation.metrics import NAMES, relevant_count, score
from farthing.indexing.evaluation.significance import RESAMPLES, compare

ORACLE = ("ndcg_cut_10", "recip_rank", "recall_100")

documents = st.integers(0, 140).map(lambda number: f"d{number}")
judgements = st.dictionaries(documents, st.integers(0, 4), min_size=1, max_size=130).filter(
    relevant_count
)
# Few distinct scores, so that most are tied.
runs = st.dictionaries(documents, st.sampled_from([0.0, 0.25, 0.5, 1.0]), max_size=100)


@settings(deadline=None, max_examples=300)
@given(judgements, runs)
def test_scores_are_those_of_trec_eval(grades: dict[str, int], run: dict[str, float]) -> None:
    # trec_eval orders equals by id, from the last to the first.
    ranking = sorted(run, key=lambda document: (run[document], document), reverse=True)
    # It reads a query without any hit as one that was not asked.
    found = {"q": run or {"not among them": 1.0}}
    theirs = pytrec_eval.RelevanceEvaluator({"q": grades}, set(ORACLE)).evaluate(found)["q"]
    assert list(score(ranking, grades)) == pytest.approx([theirs[name] for name in ORACLE])


def test_what_comes_after_the_hundredth_is_not_seen() -> None:
    ranking = [f"d{number}" for number in range(101)]
    assert score(ranking, {"d100": 1}) == (0, 0, 0)
    assert score(ranking, {"d99": 1}) == (0, 0.01, 1)


def test_the_gain_of_a_grade_is_the_grade() -> None:
    ideal = 2 + 1 / np.log2(3)
    assert score(["fair", "good"], {"good": 2, "fair": 1}).ndcg == pytest.approx(
        (1 + 2 / np.log2(3)) / ideal
    )


def test_relevant_documents_that_the_index_lacks_count() -> None:
    assert score(["here"], {"here": 1, "nowhere": 1}).recall == 0.5


def test_names_are_those_of_the_fields() -> None:
    assert len(NAMES) == len(score(["d"], {"d": 1}))


@pytest.mark.parametrize("seed", range(6))
def test_p_is_that_of_the_paired_t_test_where_differences_are_normal(seed: int) -> None:
    chance = np.random.default_rng(seed)
    theirs = chance.uniform(0, 1, 200)
    ours = theirs + chance.normal(0.02 * (seed % 3), 0.2, 200)
    found = compare(ours, theirs)
    assert found.p == pytest.approx(stats.ttest_rel(ours, theirs).pvalue, abs=0.02)
    interval = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(interval), abs=0.004)
    assert found.difference == pytest.approx(float((ours - theirs).mean()))


def test_p_is_that_of_scipys_permutations_for_few_and_uneven_differences() -> None:
    ours = np.array([0.9, 0.2, 0.4, 0.4, 0.7, 1.0, 0.3, 0.6, 0.5, 0.8])
    theirs = np.array([0.1, 0.2, 0.5, 0.3, 0.3, 0.4, 0.3, 0.5, 0.2, 0.9])
    exact = stats.permutation_test(
        (ours, theirs), lambda a, b: np.mean(a - b), permutation_type="samples"
    )
    assert compare(ours, theirs).p == pytest.approx(exact.pvalue, abs=0.01)


def test_equal_answers_do_not_differ() -> None:
    same = np.linspace(0, 1, 50)
    found = compare(same, same)
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_the_least_p_is_one_resample_in_ten_thousand_and_swapping_sides_turns_signs() -> None:
    lower = np.random.default_rng(1).uniform(0, 0.5, 300)
    better, worse = compare(lower + 0.3, lower), compare(lower, lower + 0.3)
    assert better.p == worse.p == 1 / (1 + RESAMPLES)
    assert worse.difference == pytest.approx(-0.3)
    assert 0 < better.low <= better.difference + 1e-9 <= better.high + 2e-9


def test_one_query_proves_nothing() -> None:
    assert compare(np.array([1.0]), np.array([0.0])).p == 1


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
@settings(deadline=None, max_examples=20)
def test_figures_are_bounded_and_the_same_each_time(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = np.array(pairs).T
    found = compare(ours, theirs)
    assert found == compare(ours, theirs)
    assert 0 < found.p <= 1
    assert found.low - 1e-9 <= found.difference <= found.high + 1e-9
