"""SAM's transform and cfn-lint accept the shipped template, and name what they do not."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from farthing.deployment.aws.lint import _sam_validate, lint, translate
from farthing.deployment.aws.schemas import tag_property
from farthing.deployment.aws.stack import NETWORK
from farthing.deployment.project import Project

if TYPE_CHECKING:
    from pathlib import Path


def test_the_shipped_template_passes(project: Project) -> None:
    assert [str(finding) for finding in lint(project)] == []


@pytest.mark.parametrize(
    ("was", "becomes", "says"),
    [
        ("ReservedConcurrentExecutions:", "ReservedConcurentExecutions:", "cfn-lint E3002"),
        ("!GetAtt InferenceRole.Arn", "!GetAtt InferenceRole.Arm", "cfn-lint E1010"),
    ],
)
def test_a_mistake_is_a_sentence_with_a_place(
    checkout: Path, was: str, becomes: str, says: str
) -> None:
    text = (checkout / "template.yaml").read_text()
    assert was in text
    (checkout / "template.yaml").write_text(text.replace(was, becomes, 1))
    found = [str(finding) for finding in lint(Project.read(checkout))]
    assert any(says in finding and "Resources." in finding for finding in found), found


def test_a_tool_that_does_not_end_is_a_finding(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sam = tmp_path / "sam"
    sam.write_text("#!/bin/sh\nexec sleep 600\n")
    sam.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(sys.modules[lint.__module__], "VALIDATE_TIMEOUT_S", 0.1)
    (finding,) = _sam_validate(project)
    assert "did not end within 0.1 s. Run it by hand." in str(finding)


def test_the_transform_makes_what_each_profile_is_for(project: Project) -> None:
    pytest.importorskip("samtranslator", reason="aws-sam-translator is not installed")
    made = translate(project, {"Profile": "cpu", **NETWORK})["Resources"]
    scaling = made["Instances"]["Properties"]["CapacityProviderScalingConfig"]
    (policy,) = scaling["ScalingPolicies"]
    assert policy == {
        "PredefinedMetricType": "LambdaCapacityProviderAverageCPUUtilization",
        "TargetValue": 70.0,
    }
    group = made["ClassifyFunctionDeploymentGroup"]
    assert group["Condition"] == "BilledByDuration"
    assert group["Properties"]["AlarmConfiguration"]["Alarms"] == [
        {"Name": {"Ref": "ClassifyErrors"}},
        {"Name": {"Ref": "ClassifySlow"}},
    ]


def test_the_transform_grants_nothing_of_its_own_but_to_deploy(project: Project) -> None:
    pytest.importorskip("samtranslator", reason="aws-sam-translator is not installed")
    made = translate(project, {})["Resources"]
    managed = {
        name: it["Properties"]["ManagedPolicyArns"]
        for name, it in made.items()
        if it["Type"] == "AWS::IAM::Role" and it["Properties"].get("ManagedPolicyArns")
    }
    assert set(managed) == {"CodeDeployServiceRole", "InstancesOperatorRole"}


def test_what_the_transform_makes_is_tagged_too(project: Project) -> None:
    pytest.importorskip("samtranslator", reason="aws-sam-translator is not installed")
    untagged = []
    for name, it in translate(project, {"HttpApi": "on"})["Resources"].items():
        properties = it.get("Properties", {})
        # The transform hands an HTTP API its tags in its definition.
        tags = properties.get(
            tag_property(it["Type"]) or "", properties.get("Body", {}).get("tags")
        )
        if tag_property(it["Type"]) and "farthing" not in str(tags):
            untagged.append(name)
    assert untagged == []
