"""A moto server, and the template as SAM's own transform makes it."""

from __future__ import annotations

import io
import json
import re
import urllib.request
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from farthing.deployment.aws.lint import translate
from farthing.deployment.project import Project
from farthing.serving.keys import new_entry

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent.parent.parent


# What moto's CloudFormation makes (5.2.5).
MADE = {
    "AWS::DynamoDB::Table", "AWS::Events::Rule", "AWS::IAM::Role", "AWS::Lambda::Function",
    "AWS::Lambda::LayerVersion", "AWS::Lambda::Permission", "AWS::Lambda::Version",
    "AWS::Logs::LogGroup", "AWS::S3::Bucket", "AWS::SNS::Topic", "AWS::SQS::Queue",
}  # fmt: skip


FUNCTION_ARN = "arn:aws:lambda:us-east-1:123456789012:function:"


@pytest.fixture(scope="session")
def project() -> Project:
    return Project.read(ROOT)


@pytest.fixture
def aws(moto_server: str) -> Any:
    """`aws("lambda")`: a boto3 client of an account with a bucket, and a secret that makes keys."""
    reset = urllib.request.Request(f"{moto_server}/moto-api/reset", method="POST")
    urllib.request.urlopen(reset, timeout=60).close()

    def client(service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=moto_server,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("python/empty.py", "")
    client("s3").create_bucket(Bucket="bucket")
    client("s3").put_object(Bucket="bucket", Key="key", Body=code.getvalue())
    client("secretsmanager").create_secret(Name="farthing/keys", SecretString=new_entry())
    return client


@pytest.fixture
def created(aws: Any, project: Project) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """`created(chosen)`: the translated template as a stack of the moto server."""
    pytest.importorskip("samtranslator", reason="aws-sam-translator is not installed")

    def create(chosen: dict[str, Any]) -> dict[str, Any]:
        template = for_moto(translate(project, chosen))
        aws("cloudformation").create_stack(
            StackName="farthing",
            TemplateBody=json.dumps(template),
            Parameters=[
                {
                    "ParameterKey": key,
                    "ParameterValue": ",".join(it) if isinstance(it, list) else str(it),
                }
                for key, it in chosen.items()
            ],
            Capabilities=["CAPABILITY_IAM"],
        )
        return template

    return create


def for_moto(template: dict[str, Any]) -> dict[str, Any]:
    """The template less what moto cannot make; references to that become plain names."""
    resources = template["Resources"]
    gone = {name for name, it in resources.items() if it["Type"] not in MADE}

    def plain(node: Any) -> Any:
        if isinstance(node, list):
            return [plain(it) for it in node]
        if isinstance(node, str):
            return re.sub(r"\$\{(\w+)\}", lambda it: it[1] if it[1] in gone else it[0], node)
        if not isinstance(node, dict):
            return node
        target = node.get("Ref") or (node.get("Fn::GetAtt") or [None])[0]
        if len(node) == 1 and target in gone:
            return plain(resources[target]["Properties"].get("FunctionName", target))
        return {key: plain(it) for key, it in node.items()}

    kept = {name: plain(it) for name, it in resources.items() if name not in gone}
    for it in kept.values():
        if it["Type"] == "AWS::Events::Rule":
            # A rule wants its target's ARN: here that of the function, as there is no alias.
            for target in it["Properties"]["Targets"]:
                target["Arn"] = {"Fn::Join": ["", [FUNCTION_ARN, target["Arn"]]]}
    return {
        **{key: it for key, it in template.items() if key not in ("Rules", "Outputs")},
        "Resources": kept,
    }
