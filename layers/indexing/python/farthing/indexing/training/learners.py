"""Rankers made from samples, the simpler before the more complex."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from farthing.search.ranking.fusion import Bm25, Fusion, Linear
from farthing.search.ranking.rankers import Average
from farthing.search.ranking.trees import Trees

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from farthing.indexing.training.samples import Sample
    from farthing.search.ranking.rankers import AnyRanker

    Floats = NDArray[np.float64]

SEED = 1
WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
# Prior belief that no feature matters, in squared standard deviations.
RIDGE = 10.0
NEWTON_STEPS = 25
STEP_MAX = 1.0
ROUNDS = 100
TREE_DEPTH = 4


def learn(samples: Sequence[Sample]) -> dict[str, AnyRanker]:
    """Every kind of ranker, taught by the same samples; simpler kinds come first."""
    fusion, linear, trees = learn_fusion(samples), learn_linear(samples), learn_trees(samples)
    return {
        "bm25": Bm25(),
        "fusion": fusion,
        "linear": linear,
        "linear + fusion": Average((linear, fusion)),
        "trees": trees,
        "trees + linear": Average((trees, linear)),
    }


def learn_fusion(samples: Sequence[Sample]) -> Fusion:
    """The weights with the best mean nDCG@10: one for queries with numbers, one for the others."""
    best = {}
    for numbers in (False, True):
        those = [sample for sample in samples if sample.asks_numbers == numbers]
        means = {
            weight: sum(sample.ndcg(Fusion(weight, weight).scores(sample)) for sample in those)
            for weight in WEIGHTS
        }
        best[numbers] = max(means, key=means.__getitem__)
    return Fusion(weight=best[False], weight_numbers=best[True])


def learn_linear(samples: Sequence[Sample]) -> Linear:
    """Weights under which relevant rows are the likely first choice (ListNet's top one).

    Newton's method on the cross-entropy of each query's softmax, with a ridge.
    """
    tables = [sample.table for sample in samples]
    every = np.concatenate(tables).astype(np.float64)
    mean, scale = every.mean(axis=0), every.std(axis=0)
    scale[scale < 1e-9] = 1.0
    learned = [sample for sample in samples if sample.grades.any()]
    weight = np.zeros(len(mean))
    for _ in range(NEWTON_STEPS):
        gradient, curvature = RIDGE * weight, RIDGE * np.eye(len(mean))
        for sample in learned:
            rows = (sample.table - mean) / scale
            chance = _softmax(rows @ weight)
            expected = chance @ rows
            gradient += expected - (sample.grades / sample.grades.sum()) @ rows
            curvature += (rows * chance[:, None]).T @ rows - np.outer(expected, expected)
        step = np.linalg.solve(curvature, gradient)
        # A longer one may lead out of where the curve is known.
        weight -= step * min(1.0, STEP_MAX / max(float(np.linalg.norm(step)), 1e-9))
    return Linear(tuple(mean.tolist()), tuple(scale.tolist()), tuple(weight.tolist()))


def learn_trees(samples: Sequence[Sample]) -> Trees:
    """Boosted trees that push relevant rows above others, most where nDCG gains by it.

    LambdaMART (Burges, 2010) with linear gains, as nDCG is measured here.
    """
    import xgboost

    data = xgboost.DMatrix(
        np.concatenate([sample.table for sample in samples]),
        np.concatenate([sample.grades for sample in samples]),
        qid=np.repeat(np.arange(len(samples)), [len(sample.grades) for sample in samples]),
    )
    options = {
        "objective": "rank:ndcg",
        "ndcg_exp_gain": False,
        "lambdarank_pair_method": "topk",
        "lambdarank_num_pair_per_sample": 10,
        "eta": 0.1,
        "max_depth": TREE_DEPTH,
        "min_child_weight": 5,
        "subsample": 0.8,
        "colsample_bytree": 0.7,
        # One thread, one seed: the same queries teach the same trees.
        "nthread": 1,
        "seed": SEED,
    }
    booster = xgboost.train(options, data, ROUNDS)
    return as_trees(bytes(booster.save_raw("json")))


class _Tree(msgspec.Struct):
    left_children: list[int]
    right_children: list[int]
    split_indices: list[int]
    split_conditions: list[float]


class _Trees(msgspec.Struct):
    trees: list[_Tree]


class _Boosted(msgspec.Struct):
    model: _Trees


class _Learner(msgspec.Struct):
    gradient_booster: _Boosted


class _Saved(msgspec.Struct):
    learner: _Learner


def as_trees(saved: bytes) -> Trees:
    """XGBoost's model, saved as JSON, with the children of a node side by side."""
    roots: list[int] = []
    nodes: list[tuple[int, float, int, float]] = []
    depth = 0
    for tree in msgspec.json.decode(saved, type=_Saved).learner.gradient_booster.model.trees:
        roots.append(len(nodes))
        level = [0]
        end = len(nodes) + 1
        levels = 0
        while level:
            below: list[int] = []
            for node in level:
                # XGBoost keeps a leaf's value where an inner node has its threshold.
                left, condition = tree.left_children[node], tree.split_conditions[node]
                if left < 0:
                    nodes.append((0, 0.0, len(nodes), condition))
                else:
                    nodes.append((tree.split_indices[node], condition, end, 0.0))
                    below += (left, tree.right_children[node])
                    end += 2
            level = below
            levels += bool(below)
        depth = max(depth, levels)
    feature, threshold, left_, value = zip(*nodes, strict=True)
    return Trees(depth, tuple(roots), feature, threshold, left_, value)


def _softmax(scores: Floats) -> Floats:
    powers: Floats = np.exp(scores - scores.max())
    powers /= powers.sum()
    return powers
