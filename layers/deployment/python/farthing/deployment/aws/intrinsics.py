"""CloudFormation's intrinsic functions, evaluated for one set of parameters.

What CloudFormation would only know after creating a resource (an ARN, a name) is built from the
resource's logical id, in the service's own form, so that values can be compared and validated.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from cfnlint.schema import PROVIDER_SCHEMA_MANAGER, ResourceNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STACK = "farthing"
ACCOUNT = "123456789012"
SCHEMA_REGION = "us-east-1"
PLACE = re.compile(r"\$\{(!?)([^}]+)\}")
# How `Ref` and `GetAtt` answer where it is not the logical id.
FORMS = {
    ("AWS::Serverless::Function", "Ref"): "{name}",
    ("AWS::Serverless::Function", "Arn"): "arn:aws:lambda:{place}:function:{name}",
    ("AWS::Lambda::Alias", "Ref"): "arn:aws:lambda:{place}:function:{name}:{alias}",
    ("AWS::Serverless::CapacityProvider", "Ref"): "{name}",
    ("AWS::Serverless::LayerVersion", "Ref"): "arn:aws:lambda:{place}:layer:{name}:1",
    ("AWS::Logs::LogGroup", "Ref"): "{name}",
    ("AWS::Logs::LogGroup", "Arn"): "arn:aws:logs:{place}:log-group:{name}:*",
    ("AWS::SNS::Topic", "Ref"): "arn:aws:sns:{place}:{name}",
    ("AWS::SQS::Queue", "Ref"): "https://sqs.{region}.amazonaws.com/" + ACCOUNT + "/{name}",
    ("AWS::SQS::Queue", "Arn"): "arn:aws:sqs:{place}:{name}",
    ("AWS::SQS::Queue", "QueueName"): "{name}",
    ("AWS::IAM::Role", "Arn"): "arn:aws:iam::" + ACCOUNT + ":role/{name}",
    ("AWS::CloudWatch::Alarm", "Arn"): "arn:aws:cloudwatch:{place}:alarm:{name}",
    ("AWS::DynamoDB::Table", "Arn"): "arn:aws:dynamodb:{place}:table/{name}",
    ("AWS::Events::Rule", "Arn"): "arn:aws:events:{place}:rule/{name}",
    ("AWS::S3::Bucket", "Arn"): "arn:aws:s3:::{name}",
    ("AWS::Serverless::StateMachine", "Ref"): "arn:aws:states:{place}:stateMachine:{name}",
    ("AWS::Serverless::StateMachine", "Arn"): "arn:aws:states:{place}:stateMachine:{name}",
}
NAMES = (
    "FunctionName", "LogGroupName", "CapacityProviderName", "QueueName", "RoleName", "Name",
)  # fmt: skip


class Omitted:
    """What `AWS::NoValue` becomes: its key or item is left out."""


OMITTED = Omitted()


class Evaluator:
    """`problems` collects, by dotted path, every reference that leads nowhere."""

    def __init__(
        self,
        template: Mapping[str, Any],
        parameters: Mapping[str, Any],
        resources: Mapping[str, Any],
        region: str,
    ) -> None:
        self.template = template
        self.resources = resources
        self.region = region
        self.problems: list[tuple[str, str]] = []
        self.values: dict[str, Any] = {
            "AWS::Region": region,
            "AWS::AccountId": ACCOUNT,
            "AWS::Partition": "aws",
            "AWS::StackName": STACK,
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::NoValue": OMITTED,
            **parameters,
        }

    def value(self, node: Any, at: str) -> Any:
        """The node with every intrinsic function replaced by what it gives."""
        if isinstance(node, list):
            items = [self.value(item, f"{at}.{index}") for index, item in enumerate(node)]
            return [item for item in items if item is not OMITTED]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((name, argument),) = node.items()
            if name in INTRINSICS:
                try:
                    return INTRINSICS[name](self, argument, at)
                except (AttributeError, IndexError, KeyError, TypeError, ValueError):
                    return self.problem(at, f"{name} does not take what it is given")
            if str(name).startswith("Fn::"):
                return self.problem(at, f"There is no intrinsic function {name}")
        pairs = {key: self.value(item, f"{at}.{key}") for key, item in node.items()}
        return {key: item for key, item in pairs.items() if item is not OMITTED}

    def holds(self, condition: Any, at: str) -> bool:
        """Whether a condition of that name holds."""
        conditions = self.template.get("Conditions", {})
        if condition not in conditions:
            self.problem(at, f"There is no condition {condition}")
            return False
        return self.value(conditions[condition], f"Conditions.{condition}") is True

    def problem(self, at: str, says: str) -> None:
        self.problems.append((at, says))

    def ref(self, name: Any, at: str) -> Any:
        if isinstance(name, str) and name in self.values:
            return self.values[name]
        return self.attribute(name, "Ref", at)

    def attribute(self, name: Any, attribute: str, at: str) -> Any:
        if isinstance(name, str) and name.endswith(".Alias") and name[:-6] in self.resources:
            name = name[:-6] + "Alias" + str(self._property(name[:-6], "AutoPublishAlias"))
        if not isinstance(name, str) or name not in self.resources:
            known = isinstance(name, str) and name.partition(".")[0] in self.template["Resources"]
            why = "exists only under another condition" if known else "does not exist"
            return self.problem(at, f"It refers to {name}, which {why}")
        kind = self.resources[name]["Type"]
        form = FORMS.get((kind, attribute))
        if form is None:
            if attribute == "Ref" or _has_attribute(kind, attribute):
                return name if attribute == "Ref" else f"{name}.{attribute}"
            return self.problem(at, f"{name} is an {kind}, which has no attribute {attribute}")
        owner = self.resources[name].get("Of", name)
        return form.format(
            name=self._name(owner),
            alias=self._property(owner, "AutoPublishAlias"),
            region=self.region,
            place=f"{self.region}:{ACCOUNT}",
        )

    def sub(self, argument: Any, at: str) -> Any:
        text, own = argument if isinstance(argument, list) else (argument, {})
        variables = {key: self.value(item, f"{at}.{key}") for key, item in own.items()}

        def replace(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return f"${{{name}}}"
            if name in variables:
                return str(variables[name])
            if name in self.values:
                return str(self.values[name])
            head, dot, attribute = name.partition(".")
            if attribute == "Alias":
                return str(self.attribute(name, "Ref", at))
            return str(self.attribute(head, attribute if dot else "Ref", at))

        return PLACE.sub(replace, str(text))

    def find_in_map(self, argument: Any, at: str) -> Any:
        found: Any = self.template.get("Mappings", {})
        for key in [self.value(part, at) for part in argument]:
            if not isinstance(found, dict) or key not in found:
                return self.problem(at, f"The mapping has no {key}")
            found = found[key]
        return found

    def choose(self, argument: Any, at: str) -> Any:
        if not isinstance(argument, list) or len(argument) != 3:
            return self.problem(at, "Fn::If takes a condition and two values")
        condition, then, otherwise = argument
        return self.value(then if self.holds(condition, at) else otherwise, at)

    def _name(self, name: str) -> str:
        given = next((self._property(name, key) for key in NAMES if self._property(name, key)), "")
        return str(given or name)

    def _property(self, name: str, key: str) -> Any:
        properties = self.resources[name].get("Properties") or {}
        return self.value(properties.get(key), f"Resources.{name}.Properties.{key}")


def _has_attribute(kind: str, attribute: str) -> bool:
    try:
        return (
            attribute in PROVIDER_SCHEMA_MANAGER.get_resource_schema(SCHEMA_REGION, kind).get_atts
        )
    except ResourceNotFoundError:
        return True


def _get_att(it: Evaluator, argument: Any, at: str) -> Any:
    name, attribute = argument if isinstance(argument, list) else str(argument).split(".", 1)
    return it.attribute(name, attribute, at)


def _each(it: Evaluator, argument: Any, at: str) -> list[Any]:
    return [it.value(item, at) for item in argument] if isinstance(argument, list) else []


def _equal(it: Evaluator, argument: Any, at: str) -> bool:
    sides = _each(it, argument, at)
    if len(sides) != 2:
        it.problem(at, "Fn::Equals compares two values")
        return False
    return str(sides[0]) == str(sides[1])


INTRINSICS: dict[str, Callable[[Evaluator, Any, str], Any]] = {
    "Ref": Evaluator.ref,
    "Fn::GetAtt": _get_att,
    "Fn::Sub": Evaluator.sub,
    "Fn::If": Evaluator.choose,
    "Fn::FindInMap": Evaluator.find_in_map,
    "Condition": lambda it, argument, at: it.holds(argument, at),
    "Fn::Join": lambda it, argument, at: str(argument[0]).join(
        map(str, _each(it, argument[1], at))
    ),
    "Fn::Equals": _equal,
    "Fn::Not": lambda it, argument, at: _each(it, argument, at) == [False],
    "Fn::And": lambda it, argument, at: all(side is True for side in _each(it, argument, at)),
    "Fn::Or": lambda it, argument, at: any(side is True for side in _each(it, argument, at)),
    "Fn::Contains": lambda it, argument, at: it.value(argument[1], at) in it.value(argument[0], at),
}
