"""What a template comes to under given parameters: which resources exist, with which values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# What AWS::NoValue leaves: the key is not there.
NOTHING = object()


def active_resources(
    template: Mapping[str, Any], overrides: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """The resources whose condition holds, their `Fn::If`, parameters and mappings worked out.

    `overrides` beat the parameters' defaults. What only a deployment knows (other references,
    attributes) stays as it is written.
    """
    values = {
        name: overrides.get(name, parameter.get("Default"))
        for name, parameter in template.get("Parameters", {}).items()
    }
    scope = _Scope(template.get("Conditions", {}), values)
    return {
        name: scope.worked_out(resource)
        for name, resource in template.get("Resources", {}).items()
        if "Condition" not in resource or scope.holds({"Condition": resource["Condition"]})
    }


class _Scope:
    def __init__(self, conditions: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        self._conditions = conditions
        self._values = values

    def holds(self, condition: Mapping[str, Any]) -> bool:
        """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference-conditions.html"""
        ((name, operand),) = condition.items()
        match name:
            case "Condition":
                return self.holds(self._conditions[operand])
            case "Fn::Equals":
                left, right = (self.worked_out(it) for it in operand)
                return str(left) == str(right)
            case "Fn::Not":
                return not self.holds(operand[0])
            case "Fn::And":
                return all(self.holds(it) for it in operand)
            case "Fn::Or":
                return any(self.holds(it) for it in operand)
        raise ValueError(f"{name} is no condition.")

    def worked_out(self, value: Any) -> Any:
        """The value with every choice made and every parameter filled in."""
        if isinstance(value, list):
            return [made for it in value if (made := self.worked_out(it)) is not NOTHING]
        if not isinstance(value, dict):
            return value
        if set(value) == {"Fn::If"}:
            condition, then, otherwise = value["Fn::If"]
            return self.worked_out(then if self.holds({"Condition": condition}) else otherwise)
        if set(value) == {"Ref"}:
            if value["Ref"] == "AWS::NoValue":
                return NOTHING
            return self._values.get(value["Ref"], value)
        return {
            key: made for key, it in value.items() if (made := self.worked_out(it)) is not NOTHING
        }
