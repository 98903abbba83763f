"""Other people's checks of template.yaml: SAM's transform, cfn-lint and `sam validate`."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

from farthing.deployment.aws.stack import SCENARIOS, TEMPLATE, read_template
from farthing.deployment.documents import Unreadable
from farthing.deployment.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from farthing.deployment.project import Project

# Ten seconds of work, and minutes where others want the machine too.
VALIDATE_TIMEOUT_S = 600
# What `sam build` and `sam package` put in the place of local paths.
BUILT = {
    "AWS::Serverless::Function": ("CodeUri", "s3://bucket/key"),
    "AWS::Serverless::LayerVersion": ("ContentUri", "s3://bucket/key"),
    "AWS::Serverless::StateMachine": ("DefinitionUri", "s3://bucket/key"),
}
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/farthing:0"


def lint(project: Project) -> Iterator[Finding]:
    """What each tool objects to; a tool that is not installed is left out."""
    try:
        read_template(project)
    except Unreadable as error:
        yield error.finding
        return
    yield from _transform(project)
    yield from _cfn_lint(project)
    yield from _sam_validate(project)


def translate(project: Project, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The CloudFormation template that SAM's own transform makes for these parameters.

    Raises what aws-sam-translator raises, and ImportError where that is not installed.
    """
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator

    template = read_template(project)
    for resource in template["Resources"].values():
        properties = resource.setdefault("Properties", {})
        if properties.get("PackageType") == "Image":
            properties["ImageUri"] = IMAGE
        elif resource["Type"] in BUILT:
            key, value = BUILT[resource["Type"]]
            properties[key] = value
    parameters = {
        name: ",".join(value) if isinstance(value, list) else str(value)
        for name, value in {
            **{key: it.get("Default", "") for key, it in template["Parameters"].items()},
            **chosen,
        }.items()
    }
    # The transform asks boto3 for a region, and reports its own metrics to the log.
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    logging.getLogger("samtranslator").setLevel(logging.ERROR)
    made: dict[str, Any] = Translator({}, Parser()).translate(template, parameters)
    return made


def _transform(project: Project) -> Iterator[Finding]:
    try:
        from samtranslator.model.exceptions import InvalidDocumentException
    except ImportError:
        return
    said = set()
    for chosen in SCENARIOS:
        try:
            translate(project, chosen)
        except InvalidDocumentException as error:
            said |= {cause.message for cause in error.causes}
    for message in sorted(said):
        yield Finding(TEMPLATE, "", f"SAM's transform refuses it: {message}", "Correct that.")


def _cfn_lint(project: Project) -> Iterator[Finding]:
    from cfnlint.api import lint_file

    for match in lint_file(project.root / TEMPLATE):
        at = ".".join(str(part) for part in match.path or ()) or f"line {match.linenumber}"
        yield Finding(
            TEMPLATE, at, f"cfn-lint {match.rule.id}: {match.message.rstrip('.')}.", "Correct it."
        )


def _sam_validate(project: Project) -> Iterator[Finding]:
    beside = project.root / ".venv-sam" / "bin" / "sam"
    command = shutil.which("sam") or (str(beside) if beside.exists() else None)
    if command is None:
        return
    try:
        done = subprocess.run(  # noqa: S603 the command is fixed
            [command, "validate", "--lint", "--template", str(project.root / TEMPLATE)],
            env={**os.environ, "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1"},
            cwd=project.root,
            capture_output=True,
            text=True,
            check=False,
            timeout=VALIDATE_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        said = f"`sam validate --lint` did not end within {VALIDATE_TIMEOUT_S} s."
        yield Finding(TEMPLATE, "", said, "Run it by hand.")
        return
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[-400:]
        yield Finding(TEMPLATE, "", f"`sam validate --lint` refuses it: {said}", "Correct that.")
