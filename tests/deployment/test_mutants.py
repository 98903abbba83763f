"""Mistakes of the hand, made by machine: the checker finds them, and lets what is legitimate be.

`python -m tests.deployment.test_mutants` judges every mutant instead of a sample, and lists those
that survive.
"""

from __future__ import annotations

import random
import re
import sys
import tempfile
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
SAMPLE = {"aws": 100, "samconfig": 20, "alibaba": 60, "knative": 40, "images": 40, "tree": 20}
LEAST_FOUND = 0.95

Check = Callable[[Project], Iterator[Finding]]
CHECKS: dict[str, tuple[Check, ...]] = {
    "aws": (aws.check,),
    "samconfig": (aws.check,),
    "alibaba": (alibaba.check,),
    "knative": (knative.check,),
    "images": (docker.check,),
    "tree": (tree.check, alibaba.check, aws.check, docker.check, knative.check),
}

# Survivors that do no harm, and why. A survivor that is not here counts as harmful.
HARMLESS = {
    r"Description|\.Label ": "what people read",
    r"(name|Name|Id) .*\.(triggerName|PolicyName|Metrics\.0\.Id|name) ": "a label",
    r"template\.yaml: misspell key 0\.(Resources|Outputs|Rules)\.\w+ ": "nothing refers to this id",
    r"LogRetentionDays\.AllowedValues": "a choice more or less",
    r"(Default|MinValue|MonthlyBudgetUsd=\d+|reservedConcurrency|EventAgeInSeconds) ?": (
        "an amount that the user sets"
    ),
    r"drop key .*\.ReturnData": "the default",
    r"drop key .*(FARTHING_BUDGET_OUTAGE|SettleSchedule\.Properties\.State)": "the default",
    r"keep\.yaml: drop (item|key) 0\.[124]": "the default of a setting",
    r"name .*Targets\.0\.Id": "a label",
    r"network\.yaml: number .*egress\.0\.ports\.0\.port": "the database's port is its owner's",
    r"name .*secretKeyRef\.(key|name)": "the Secret is the user's own",
    r"drop key .*\.qualifier": "LATEST is what the service takes",
    r"drop key .*(CoreLayer|LedgerLayer|LiftBreaker)\.Condition": "made in vain, at no cost",
    r"s\.index\.yaml: drop key .*\.readOnly": "the default",
    r"drop key .*(Indexer(Writes|Schedule)|BatchSchedule)\.Properties\.State": "the default",
    r"(IndexDiskMb|ArchiveAfterDays)\.(Default|MaxValue)": "an amount that the user sets",
    r"(name|drop key) .*LifecycleConfiguration\.Rules\.\d\.Id": "a label",
    r"number .*(DaysAfterInitiation|NoncurrentDays)": "later is dearer by little, and never lost",
    r"volume\.yaml: (unit|number) ": "the volume's size is its owner's",
    r"drop key .*FARTHING_BATCH_(TASK|TEXT|FORMAT)": "the default of a setting",
    r"name .*(FARTHING_BATCH_TEXT|BatchText\.Default)": "the column is the user's own",
    r"s\.batch\.yaml: drop key .*maxAsyncRetryAttempts": "once, as the others are",
    r"drop item .*Batch\w+\.Properties\.Tags\.2": "the resource says in its name whose it is",
    r"JobsKeptDays\.(Default|MaxValue)": "an amount that the user sets",
    r"sink\.yaml: drop key 1\.spec\.data": "the event's type is all that is read",
    r"name .*(s\.cache\.yaml|CacheUrlSecret|farthing-network)": "the user's own",
    r"WarmEnvironments\.(MinValue|MaxValue)": "an amount that the user sets",
    r"drop key .*CacheTable\.(DeletionPolicy|UpdateReplacePolicy)": "the default",
    r"drop key .*(Classify|Embed|Search)Ping\.Properties\.State": "the default",
    r"samconfig\.toml: number version": "TOML's 0.10 is 0.1",
    r"samconfig\.toml: name stack_name": "the stack is the user's to name",
    r"s\.yaml: name 0\.(name|vars\.qualifier) ": "the stack and its alias are the user's to name",
    r"s\.events\.yaml: name .*QueueName": "the queue is the user's own",
    r"s\.events\.yaml: drop item .*triggers\.\d": "events are the user's choice",
    r"image\.description": "what people read",
    r"UVICORN_TIMEOUT_KEEP_ALIVE=9000": "longer than any platform keeps a connection",
    r"knative/.*: name .*(metadata|containers\.0)\.name ": "an object that nothing refers to",
    r"knative/.*: name .*kustomization\.yaml.*namespace|name 0\.namespace ": "renamed everywhere",
    r"knative/.*: name .*queueURL": "the queue is the user's own",
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


def does_harm(mutant: Mutant) -> bool:
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


def survivors(checkout: Path, part: str, tried: list[Mutant]) -> list[Mutant]:
    return [it for it in tried if not is_found(checkout, part, it)]


def test_harmful_mutants_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkout = copy_checkout(tmp_path / "checkout")
    chance = random.Random(SEED)
    tried, survived = 0, []
    for part, size in SAMPLE.items():
        everything = mutants(part)
        sample = chance.sample(everything, min(size, len(everything)))
        tried += len(sample)
        survived += survivors(checkout, part, sample)
    harmful = [it for it in survived if does_harm(it)]
    with capsys.disabled():
        sys.stdout.write(f"\n{tried} mutants, {len(survived)} survive, {len(harmful)} with harm\n")
        sys.stdout.writelines(f"  {it}\n" for it in survived)
    assert tried >= 200
    assert 1 - len(harmful) / (tried - len(survived) + len(harmful)) >= LEAST_FOUND


def judge_all(parts: list[str]) -> None:
    """Tries every mutant, and lists those that survive."""
    with tempfile.TemporaryDirectory() as folder:
        checkout = copy_checkout(Path(folder) / "checkout")
        for part in parts:
            tried = mutants(part)
            survived = survivors(checkout, part, tried)
            harmful = [it for it in survived if does_harm(it)]
            for it in survived:
                sys.stdout.write(f"  {'HARM' if it in harmful else 'none'} {it}\n")
            found = len(tried) - len(survived)
            share = found / (found + len(harmful))
            sys.stdout.write(
                f"{part}: {len(tried)} mutants, {found} found, {len(survived)} survive, "
                f"{len(harmful)} with harm: {share:.1%} of the harmful found\n"
            )


if __name__ == "__main__":
    judge_all(sys.argv[1:] or list(SAMPLE))
