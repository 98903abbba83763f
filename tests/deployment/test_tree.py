"""The tree's own promises: each planted mistake is named, with its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farthing.deployment import tree
from farthing.deployment.project import Project

if TYPE_CHECKING:
    from pathlib import Path


def findings(checkout: Path) -> list[str]:
    return [str(finding) for finding in tree.check(Project.read(checkout))]


def change(checkout: Path, file: str, was: str, becomes: str) -> None:
    text = (checkout / file).read_text()
    assert was in text, (file, was)
    (checkout / file).write_text(text.replace(was, becomes, 1))


def test_the_shipped_tree_is_clean(checkout: Path) -> None:
    assert findings(checkout) == []


@pytest.mark.parametrize(
    ("file", "was", "becomes", "says"),
    [
        (
            "pyproject.toml",
            '"aws", "alibaba", "knative"',
            '"aws", "knative"',
            "classify answers callers, but is not deployed on alibaba",
        ),
        (
            "pyproject.toml",
            'layers = ["core", "inference"]',
            'layers = ["core"]',
            "which is in the layer inference",
        ),
        (
            "pyproject.toml",
            "vcpu_milli = 250\nconcurrency = 1",
            "vcpu_milli = 250\nconcurrency = 10",
            "a function without a model serves nobody",
        ),
        (
            "pyproject.toml",
            '"product-classifier"',
            '"product-clasifier"',
            "The bundle product-clasifier cannot be read",
        ),
        (
            "pyproject.toml",
            '["product-classifier"]',
            '["all-minilm-l6-v2"]',
            "classify answers classify, but the bundle all-minilm-l6-v2 does embed",
        ),
        (
            "pyproject.toml",
            'targets = ["lambda-image", "http-image", "lambda-zip"]',
            'targets = ["lambda-image", "lambda-zip"]',
            "http-image is missing from its targets",
        ),
        (
            "pyproject.toml",
            "[tool.farthing.functions.embed]",
            "[tool.farthing.functions.embedding]",
            "functions/embed/app.py exists, but no table describes it",
        ),
        (
            "pyproject.toml",
            '"onnxruntime>=1.22", ',
            "",
            "The extra inference in pyproject.toml does not bring onnxruntime",
        ),
        (
            "layers/core/python/farthing/money.py",
            "from __future__ import annotations\n",
            "from __future__ import annotations\nimport numpy\n",
            "The extra core in pyproject.toml does not bring numpy",
        ),
        (
            "layers/inference/python/requirements.txt",
            "onnxruntime==",
            "onnxruntime==9",
            "Run `make lock`",
        ),
    ],
)
def test_a_planted_mistake_is_named(
    checkout: Path, file: str, was: str, becomes: str, says: str
) -> None:
    change(checkout, file, was, becomes)
    assert any(says in finding for finding in findings(checkout)), findings(checkout)
