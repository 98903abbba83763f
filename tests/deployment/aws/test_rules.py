"""The rules on template.yaml and samconfig.toml: clean as shipped, and each mistake is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farthing.deployment.aws import check
from farthing.deployment.project import Project

if TYPE_CHECKING:
    from pathlib import Path


def findings(checkout: Path) -> list[str]:
    return [str(finding) for finding in check(Project.read(checkout))]


def change(checkout: Path, file: str, was: str, becomes: str) -> None:
    text = (checkout / file).read_text()
    assert was in text, (file, was)
    (checkout / file).write_text(text.replace(was, becomes, 1))


def test_the_shipped_files_are_clean(checkout: Path) -> None:
    assert findings(checkout) == []


# (file, what it says, what a hand makes of it, what the finding says)
MISTAKES = [
    ("pyproject.toml", "memory_mb = 1024", "memory_mb = 512", "but pyproject.toml gives classify"),
    ("template.yaml", "Timeout: 30", "Timeout: 3", "pyproject.toml gives classify 30 s"),
    ("template.yaml", "TargetValue: 0.7", "TargetValue: 70", "this metric is a fraction"),
    (
        "template.yaml",
        "MinCapacity: !Ref WarmEnvironments\n",
        "MinCapacity: 0\n",
        "the metric falls silent for good",
    ),
    (
        "template.yaml",
        "AverageCPUUtilization: 70",
        "AverageCPUUtilization: 0.7",
        "this target is a percentage",
    ),
    ("template.yaml", "!Ref ClassifyLogs", "!Ref ClassifyLog", "ClassifyLog, which does not exist"),
    ("template.yaml", "[ByKeys, NONE, AWS_IAM]", "[ByKeys, NONE, NONE]", "Access is iam"),
    (
        "template.yaml",
        "[ByKeys, keys, platform]",
        "[ByKeys, platform, platform]",
        "FARTHING_ACCESS: With Access=keys: It is platform, but Access is keys",
    ),
    (
        "template.yaml",
        "    Condition: ByKeys\n",
        "",
        "lets everyone call a function without a signature and without a key",
    ),
    ("template.yaml", "GbSecond: '0.0000166667'", "GbSecond: '0.0000133334'", "price book 2026-11"),
    ("template.yaml", "us-east-1: {Request", "us-west-9: {Request", "no price in us-west-9"),
    ("template.yaml", "d_classify * 1024", "d_classify * 512", "but classify costs"),
    (
        "template.yaml",
        "-classify,${AWS::StackName}-embed,",
        "-classify,",
        "must stop every function",
    ),
    (
        "template.yaml",
        "                  - !GetAtt ClassifyFunction.Arn\n",
        "                  - '*'\n",
        "It is every resource there is",
    ),
    ("template.yaml", "lambda:PutFunctionConcurrency", "lambda:*", "not one named action"),
    (
        "template.yaml",
        "OnFailure: {Type: SQS, Destination: !GetAtt DeadLetters.Arn}",
        "OnFailure: {Type: SQS, Destination: !Ref DeadLetters}",
        "fails for good would be lost",
    ),
    ("template.yaml", "{Key: app, Value: farthing}", "{Key: ap, Value: farthing}", "The tag app"),
    (
        "template.yaml",
        "[WithSnapStart, {ApplyOn: PublishedVersions}",
        "[Warm, {ApplyOn: PublishedVersions}",
        "the parameter SnapStart is on",
    ),
    (
        "template.yaml",
        "Assert: !Equals [!Ref Profile, zero]",
        "Assert: !Equals [!Ref SnapStart, 'on']",
        "No rule refuses SnapStart with provisioned concurrency",
    ),
    ("template.yaml", "Threshold: 15000", "Threshold: 15", None),
    ("template.yaml", "Threshold: 15000", "Threshold: 45000", "a call ends after 30 s"),
    ("template.yaml", "RetentionInDays: !Ref LogRetentionDays", "", "logs are kept, and billed"),
    ("template.yaml", "DockerTag: 0.1.0-lambda", "DockerTag: 0.0.9-lambda", "version in pyproject"),
    ("template.yaml", "{FUNCTION: classify,", "{FUNCTION: embed,", "the function is classify"),
    ("template.yaml", "FARTHING_KEYS:", "FARTHING_KEY:", "no such setting"),
    (
        "template.yaml",
        "    Type: AWS::SQS::Queue\n",
        "    Type: AWS::SQS::Que\n",
        "no resource type",
    ),
    ("template.yaml", "MemorySize: 256", "MemorySise: 256", "MemorySise"),
    ("template.yaml", "Transform:", "Transform: [", "It is no YAML"),
    ("samconfig.toml", 'region = "us-east-1"', 'region = "mars-1"', "no price there"),
    ("samconfig.toml", '["Profile=zero"]', '["Profil=zero"]', "takes no Profil=zero"),
    ("samconfig.toml", '["Profile=warm"', '["Profile=cpu"', "Profile is cpu in the environment"),
    ("samconfig.toml", "[warm.deploy", "[varm.deploy", "Profile warm cannot be deployed by name"),
    ("samconfig.toml", ', "MonthlyBudgetUsd=60"', "", "costs 33 USD a month while nobody calls"),
    ("samconfig.toml", "BudgetUsd=600", "BudgetUsd=60", "costs 450 USD a month while nobody calls"),
    ("samconfig.toml", "version = 0.1", "version =", "It is no TOML"),
]


@pytest.mark.parametrize(("file", "was", "becomes", "says"), MISTAKES, ids=lambda it: str(it)[:40])
def test_a_planted_mistake_is_named(
    checkout: Path, file: str, was: str, becomes: str, says: str | None
) -> None:
    change(checkout, file, was, becomes)
    found = findings(checkout)
    if says is None:
        assert found == []
    else:
        assert any(says in finding for finding in found), found


MINE = """\
  Mine:
    Type: AWS::SNS::Topic
    Properties:
      Tags:
        - {Key: app, Value: farthing}
        - {Key: profile, Value: !Ref Profile}

  # -- HTTP API"""
LEGITIMATE = [
    ("Default: 0.05", "Default: 0.2"),
    ("Canary10Percent10Minutes", "Linear10PercentEvery10Minutes"),
    ("Threshold: 15000", "Threshold: 20000"),
    ("  # -- HTTP API", MINE),
    ("FARTHING_ACCESS:", "FARTHING_TENANT: acme\n          FARTHING_ACCESS:"),
    ("FARTHING_ACCESS:", "MY_OWN: x\n          FARTHING_ACCESS:"),
]


def test_what_a_user_may_change_is_no_finding(checkout: Path) -> None:
    change(checkout, "pyproject.toml", "memory_mb = 1024", "memory_mb = 1536")
    change(checkout, "template.yaml", "MemorySize: 1024", "MemorySize: 1536")
    change(checkout, "template.yaml", "d_classify * 1024", "d_classify * 1536")
    for old, new in LEGITIMATE:
        change(checkout, "template.yaml", old, new)
    change(checkout, "samconfig.toml", 'region = "us-east-1"', 'region = "eu-central-1"')
    assert findings(checkout) == []


def test_a_function_that_pyproject_adds_is_missed_everywhere(checkout: Path) -> None:
    with (checkout / "pyproject.toml").open("a") as file:
        file.write(
            '\n[tool.farthing.functions.tag]\nlayers = ["core", "inference"]\n'
            'models = ["all-minilm-l6-v2"]\ntargets = ["lambda-image"]\nclouds = ["aws"]\n'
            "memory_mb = 1024\nvcpu_milli = 1000\nconcurrency = 1\ntimeout_s = 30\n"
        )
    found = "\n".join(findings(checkout))
    for says in (
        "no function is named ${AWS::StackName}-tag",
        "lacks the scalable target or the scaling policy of tag",
        "No alarm watches Errors of the alias live of tag",
        "No alarm on spend counts tag",
        "it must stop every function that serves a model",
        "tag answers POST /tag, and the API has no such route",
    ):
        assert says in found


@pytest.mark.parametrize("file", ["template.yaml", "samconfig.toml"])
def test_a_missing_file_is_named(checkout: Path, file: str) -> None:
    (checkout / file).unlink()
    assert any(finding.startswith(file) for finding in findings(checkout))


@pytest.mark.parametrize(
    "text",
    ["[]", "Resources: 1", "Resources: {A: 1}", "Resources: {A: {Type: 1}}", "a: &a [*a]"],
)
def test_what_is_no_template_is_a_finding_and_no_traceback(checkout: Path, text: str) -> None:
    (checkout / "template.yaml").write_text(text)
    assert findings(checkout)
