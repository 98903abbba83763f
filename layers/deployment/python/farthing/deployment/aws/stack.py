"""template.yaml as CloudFormation would see it: one stack for each scenario of parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from farthing.deployment.aws.intrinsics import Evaluator
from farthing.deployment.documents import Unreadable, read_documents
from farthing.deployment.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from farthing.deployment.project import Project

TEMPLATE = "template.yaml"
REGION = "us-east-1"
NETWORK = {"SubnetIds": ["subnet-0a1b2c3d"], "SecurityGroupIds": ["sg-0a1b2c3d"]}
HOURS = {
    "WarmFrom": "cron(30 7 ? * MON-FRI *)",
    "WarmUntil": "cron(0 19 ? * MON-FRI *)",
    "WarmTimezone": "Europe/London",
}
CAP = 5
PLANS = '[{"name": "shop", "markup": "1.2"}]'
# What is deployed in one of these ways is read and checked in that way. The first is the default.
SCENARIOS: tuple[dict[str, Any], ...] = (
    {},
    {"Access": "keys"},
    {"HttpApi": "on"},
    {"SnapStart": "on"},
    {"Tracing": "on"},
    {"ReservedConcurrency": str(CAP)},
    {"Billing": "on"},
    {"Index": "bucket", "IndexDiskMb": "2048"},
    {"Batch": "on", "BatchId": "id", "WebhookSecret": "farthing/webhooks", "HttpApi": "on"},
    {"AlarmEmail": "operator@example.org"},
    {"Cache": "dynamodb", "Billing": "on", "KeepWarm": "on"},
    {"Cache": "redis", "Access": "keys", **NETWORK},
    {"Profile": "warm"},
    {"Profile": "warm", "Access": "keys", "HttpApi": "on", "RevokedKeys": "3f9a1c"},
    {"Profile": "warm", "Billing": "on", "BudgetOutage": "open", "Plans": PLANS, "Tracing": "on"},
    {"Profile": "warm", "Index": "bucket", "Billing": "on", "Tracing": "on"},
    {"Profile": "warm", "Batch": "on", "Billing": "on", "Plans": PLANS, "Tracing": "on"},
    {"Profile": "warm", "Cache": "off", "WarmEnvironments": 2, **HOURS},
    {"Profile": "cpu", **NETWORK},
    {"Profile": "cpu", "Access": "keys", "HttpApi": "on", "Tracing": "on", **NETWORK},
    {"Profile": "cpu", "Billing": "on", "Plans": PLANS, "RevokedKeys": "3f9a1c", **NETWORK},
    {"Profile": "cpu", "Index": "bucket", "Billing": "on", "Cache": "redis", **NETWORK},
    {"Profile": "cpu", "Batch": "on", "BatchTask": "embed", "WebhookSecret": "hooks", **NETWORK},
)


class Resource(NamedTuple):
    """A resource whose condition holds, its intrinsic functions evaluated."""

    id: str
    type: str
    properties: dict[str, Any]
    metadata: dict[str, Any]
    depends_on: tuple[str, ...]

    def get(self, path: str) -> Any:
        """The value at a dotted path in the properties; None where there is none."""
        found: Any = self.properties
        for key in path.split("."):
            if isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            elif isinstance(found, dict):
                found = found.get(key)
            else:
                return None
        return found


class Stack(msgspec.Struct, frozen=True):
    """What one scenario deploys. `chosen` are the parameters that it sets."""

    chosen: dict[str, Any]
    parameters: dict[str, Any]
    resources: dict[str, Resource]
    outputs: dict[str, Any]
    rules: dict[str, Any]
    problems: tuple[tuple[str, str], ...]
    template: dict[str, Any]

    @property
    def profile(self) -> str:
        return str(self.parameters.get("Profile"))

    @property
    def by_keys(self) -> bool:
        return self.chosen.get("Access") == "keys"

    @property
    def with_billing(self) -> bool:
        return self.chosen.get("Billing") == "on"

    @property
    def with_bucket(self) -> bool:
        """Whether the index is in a bucket of the stack, and not in the image."""
        return self.chosen.get("Index") == "bucket"

    @property
    def with_batch(self) -> bool:
        """Whether files that arrive, and requests that can wait, are worked off."""
        return self.chosen.get("Batch") == "on"

    def of(self, kind: str) -> list[Resource]:
        return [it for it in self.resources.values() if it.type == kind]

    def one(self, kind: str, **properties: Any) -> Resource | None:
        """The first resource of that kind with those properties."""
        for it in self.of(kind):
            if all(it.get(key) == value for key, value in properties.items()):
                return it
        return None

    def function(self, name: str) -> Resource | None:
        """The function that pyproject.toml calls by that name."""
        return self.one("AWS::Serverless::Function", FunctionName=f"farthing-{name}")


def read_template(project: Project) -> dict[str, Any]:
    """Raises `Unreadable` where the file is no template at all."""
    found = read_documents(project, TEMPLATE)[0]
    if not isinstance(found, dict) or not isinstance(found.get("Resources"), dict):
        raise Unreadable(Finding(TEMPLATE, "", "It has no Resources.", "Restore them."))
    for name, resource in found["Resources"].items():
        if not isinstance(resource, dict) or not isinstance(resource.get("Type"), str):
            at = f"Resources.{name}"
            raise Unreadable(Finding(TEMPLATE, at, "This resource has no Type.", "Name its Type."))
    return found


def read_stacks(template: dict[str, Any]) -> Iterator[Stack]:
    """One stack for each scenario."""
    for chosen in SCENARIOS:
        yield make_stack(template, chosen)


def make_stack(template: dict[str, Any], chosen: Mapping[str, Any], region: str = REGION) -> Stack:
    """The stack that these parameters would create in that region."""
    declared = template.get("Parameters", {})
    parameters = {name: _default(it) for name, it in declared.items() if isinstance(it, dict)}
    parameters.update(chosen)
    raw = _with_globals(template)
    evaluator = Evaluator(template, parameters, {}, region)
    present = {
        name: it
        for name, it in raw.items()
        if "Condition" not in it or evaluator.holds(it["Condition"], f"Resources.{name}.Condition")
    }
    evaluator.resources = {**present, **_generated(present)}
    resources = {
        name: Resource(
            name,
            it["Type"],
            evaluator.value(it.get("Properties") or {}, f"Resources.{name}.Properties"),
            it.get("Metadata") or {},
            _several(it.get("DependsOn")),
        )
        for name, it in present.items()
    }
    for name, it in resources.items():
        for other in it.depends_on:
            evaluator.attribute(other, "Ref", f"Resources.{name}.DependsOn")
    outputs = {
        name: evaluator.value(it.get("Value"), f"Outputs.{name}.Value")
        for name, it in template.get("Outputs", {}).items()
        if "Condition" not in it or evaluator.holds(it["Condition"], f"Outputs.{name}.Condition")
    }
    rules = {
        name: evaluator.value(it, f"Rules.{name}") for name, it in template.get("Rules", {}).items()
    }
    return Stack(
        chosen=dict(chosen),
        parameters=parameters,
        resources=resources,
        outputs=outputs,
        rules=rules,
        problems=tuple(evaluator.problems),
        template=template,
    )


def _with_globals(template: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    shared = template.get("Globals", {})
    return {
        name: {**it, "Properties": _merged(shared.get("Function", {}), it.get("Properties") or {})}
        if it["Type"] == "AWS::Serverless::Function"
        else it
        for name, it in template["Resources"].items()
    }


def _merged(base: Any, own: Any) -> Any:
    """As the transform merges Globals: mappings by key, lists one after the other."""
    if isinstance(base, dict) and isinstance(own, dict):
        return {key: _merged(base.get(key), own.get(key)) for key in [*base, *(own.keys() - base)]}
    if isinstance(base, list) and isinstance(own, list):
        return base + own
    return base if own is None else own


def _generated(resources: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What the transform makes of a function beside it, as far as templates refer to it."""
    made = {}
    for name, it in resources.items():
        if it["Type"] == "AWS::Serverless::Function":
            properties = it["Properties"]
            if alias := properties.get("AutoPublishAlias"):
                made[f"{name}Alias{alias}"] = {"Type": "AWS::Lambda::Alias", "Of": name}
            if "FunctionUrlConfig" in properties:
                made[f"{name}Url"] = {"Type": "AWS::Lambda::Url"}
    return made


def _default(parameter: Mapping[str, Any]) -> Any:
    value = parameter.get("Default")
    if parameter.get("Type") == "CommaDelimitedList":
        return str(value or "").split(",")
    return value


def _several(value: Any) -> tuple[str, ...]:
    return tuple(value) if isinstance(value, list) else (value,) if value else ()
