"""Mistakes of the hand, made by machine: the checker finds them, and lets what is legitimate be.

`python -m tests.deployment.test_mutants` judges every mutant instead of a sample, and lists those
that survive.
"""

from __future__ import annotations

import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from farthing.deployment import alibaba, aws, docker, knative, tree
from farthing.deployment.findings import Finding
from farthing.deployment.project import Project, ProjectError
from tests.deployment.conftest import ROOT, copy_checkout
from tests.deployment.mutation import Mutant, line_mutants, yaml_mutants

if TYPE_CHECKING:
    import pytest

SEED = 20261121
SAMPLE = {"aws": 100, "samconfig": 20, "alibaba": 60, "knative": 60, "images": 40, "tree": 20}
LEAST_FOUND = 0.95

Check = Callable[[Project], Iterator[Finding]]
CHECKS: dict[str, tuple[Check, ...]] = {
    "aws": (aws.check,),
    "samconfig": (aws.check,),
    "alibaba": (alibaba.check,),
    "knative": (knative.check,),
    "images": (docker.check,),
    "tree": (tree.check, alibaba.check, aws.check, docker.check),
}

# What a user may change without harm, and why. Everything else is taken to be harmful.
HARMLESS = {
    r"s\.events\.yaml: name .*triggerName": "a trigger's name is a label",
    r"s\.yaml: name .*triggerName": "a trigger's name is a label",
    r"s\.warm\.yaml: name .*horizontalScalingPolicies\.\d+\.name": "a policy's name is a label",
    r"s\.yaml: name 0\.name ": "the stack's name is a label",
    r"s\.yaml: name 0\.vars\.qualifier": "any alias may be called",
    r"s\.yaml: drop key .*\.qualifier": "LATEST is what the service takes",
    r"s\.events\.yaml: name .*QueueName": "the queue is the user's own",
    r"s\.yaml: number .*maxAsyncEventAgeInSeconds": "how long a retry is worth its while",
    r"s\.yaml: number .*reservedConcurrency": "the wallet's cap is the user's",
}


def mutants(part: str) -> list[Mutant]:
    def read(*patterns: str) -> Iterator[tuple[str, str]]:
        for pattern in patterns:
            for file in sorted(ROOT.glob(pattern)):
                yield file.relative_to(ROOT).as_posix(), file.read_text()

    match part:
        case "aws":
            return [it for file in read("template.yaml") for it in yaml_mutants(*file)]
        case "samconfig":
            return [it for file in read("samconfig.toml") for it in line_mutants(*file)]
        case "alibaba":
            return [it for file in read("infra/alibaba/*.yaml") for it in yaml_mutants(*file)]
        case "knative":
            return [it for file in read("knative/**/*.yaml") for it in yaml_mutants(*file)]
        case "images":
            return [it for file in read("infra/docker/Dockerfile") for it in line_mutants(*file)]
    file = ("pyproject.toml", (ROOT / "pyproject.toml").read_text())
    return list(line_mutants(*file, within="tool.farthing.functions"))


def is_harmful(mutant: Mutant) -> bool:
    return not any(re.search(pattern, str(mutant)) for pattern in HARMLESS)


def is_found(checkout: Path, part: str, mutant: Mutant) -> bool:
    """Whether any check of the part has something to say of the checkout with this one change."""
    file = checkout / mutant.file
    shipped = file.read_text()
    file.write_text(mutant.text)
    try:
        project = Project.read(checkout)
        return any(next(check(project), None) for check in CHECKS[part])
    except ProjectError:
        return True
    finally:
        file.write_text(shipped)


def test_harmful_mutants_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkout = copy_checkout(tmp_path / "checkout")
    chance = random.Random(SEED)
    survivors: list[Mutant] = []
    tried = 0
    for part, size in SAMPLE.items():
        harmful = [it for it in mutants(part) if is_harmful(it)]
        sample = chance.sample(harmful, min(size, len(harmful)))
        tried += len(sample)
        survivors += [it for it in sample if not is_found(checkout, part, it)]
    with capsys.disabled():
        sys.stdout.write(f"\n{tried} mutants, {len(survivors)} survive\n")
        sys.stdout.writelines(f"  {survivor}\n" for survivor in survivors)
    assert tried >= 200
    assert 1 - len(survivors) / tried >= LEAST_FOUND, [str(it) for it in survivors]


def test_every_excuse_still_excuses_something() -> None:
    everything = [str(it) for part in SAMPLE for it in mutants(part)]
    for pattern in HARMLESS:
        assert any(re.search(pattern, it) for it in everything), f"{pattern} excuses nothing"


def judge_all(parts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        checkout = copy_checkout(Path(folder) / "checkout")
        for part in parts:
            counts: Counter[str] = Counter()
            for mutant in mutants(part):
                if not is_harmful(mutant):
                    counts["harmless"] += 1
                elif is_found(checkout, part, mutant):
                    counts["found"] += 1
                else:
                    counts["survived"] += 1
                    sys.stdout.write(f"  {mutant}\n")
            sys.stdout.write(f"{part}: {dict(counts)}\n")


if __name__ == "__main__":
    judge_all(sys.argv[1:] or list(SAMPLE))
