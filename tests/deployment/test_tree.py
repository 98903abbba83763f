"""The tree's own promises: each planted mistake is named, with its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farthing.deployment import tree
from farthing.deployment.pack.assemble import copy_models
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
            "a function that answers nobody works alone",
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
            "classify needs a bundle that does classify, but all-minilm-l6-v2 does embed",
        ),
        (
            "pyproject.toml",
            '["product-classifier"]',
            '["retail-banking-cascade", "retail-banking-words"]',
            "retail-banking-cascade has the stage retail-banking-intents, which classify does not",
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
            "pyproject.toml",
            'indexes = ["shop-sample"]',
            "indexes = []",
            "search has no index to answer from",
        ),
        (
            "pyproject.toml",
            '"shop-sample"',
            '"shop-smaple"',
            "The index shop-smaple cannot be read",
        ),
        (
            "pyproject.toml",
            'models = ["all-minilm-l6-v2"]\nindexes',
            'models = ["product-classifier"]\nindexes',
            "holds vectors of another embedder, all-minilm-l6-v2, than product-classifier",
        ),
        (
            "pyproject.toml",
            'models = ["all-minilm-l6-v2"]\nanswers',
            'models = ["product-classifier"]\nanswers',
            "indexer needs a bundle that does embed",
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


def test_a_cascade_ships_with_its_stages_and_is_copied_with_them(
    checkout: Path, tmp_path: Path
) -> None:
    names = ["retail-banking-cascade", "retail-banking-words", "retail-banking-intents"]
    listed = ", ".join(f'"{name}"' for name in names)
    change(checkout, "pyproject.toml", '["product-classifier"]', f"[{listed}]")
    assert not any("retail-banking" in finding for finding in findings(checkout))
    copy_models(checkout, names, tmp_path / "image")
    assert sorted(file.name for file in (tmp_path / "image").iterdir()) == sorted(names)
    assert (tmp_path / "image" / names[0] / "cascade.json").is_file()
