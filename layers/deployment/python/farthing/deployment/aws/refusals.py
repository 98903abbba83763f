"""Rules: what cannot work is refused before anything is created, and nothing else is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from farthing.deployment.aws.stack import HOURS, NETWORK, make_stack
from farthing.deployment.aws.wanted import missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from farthing.deployment.findings import Finding

REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"SnapStart": "on", "Profile": "warm"}, "SnapStart with provisioned concurrency"),
    ({"SnapStart": "on", "Profile": "cpu", **NETWORK}, "SnapStart with Managed Instances"),
    ({"SnapStart": "on", "IndexDiskMb": "2048"}, "SnapStart with a larger disk"),
    ({"KeepWarm": "on", "Profile": "warm"}, "pings of what stands ready"),
    ({"KeepWarm": "on", "Profile": "cpu", **NETWORK}, "pings of Managed Instances"),
    ({"Profile": "warm", **HOURS, "WarmUntil": ""}, "hours that never end"),
    ({"Profile": "warm", **HOURS, "WarmFrom": ""}, "hours that never begin"),
    (HOURS, "hours of what never stands ready"),
    ({"Cache": "redis", **NETWORK, "SubnetIds": [""]}, "Cache redis without SubnetIds"),
    ({"Cache": "redis", **NETWORK, "SecurityGroupIds": [""]}, "Cache redis without groups"),
    ({"Profile": "cpu", **NETWORK, "SubnetIds": [""]}, "Profile cpu without SubnetIds"),
    ({"Profile": "cpu", **NETWORK, "SecurityGroupIds": [""]}, "Profile cpu without groups"),
)


def check_rules(template: dict[str, Any]) -> Iterator[Finding]:
    """Every combination that would fail half-way is refused, in words."""
    for parameters, what in REFUSED:
        if not _refusals(template, parameters):
            yield missing(
                "Rules",
                f"No rule refuses {what}, so the deployment would fail half-way.",
                "Assert it in a rule.",
            )
    for name, rule in template.get("Rules", {}).items():
        for key in rule.keys() - {"RuleCondition", "Assertions"}:
            yield missing(f"Rules.{name}.{key}", "A rule has no such key.", "Correct it.")
        for index, assertion in enumerate(rule.get("Assertions") or [{}]):
            if assertion.keys() != {"Assert", "AssertDescription"}:
                yield missing(
                    f"Rules.{name}.Assertions.{index}",
                    "An assertion has an Assert, and an AssertDescription that says what to do.",
                    "Restore them.",
                )


def check_refusals(template: dict[str, Any], chosen: dict[str, Any]) -> Iterator[Finding]:
    """A combination that can work is not refused."""
    for name in _refusals(template, chosen):
        words = ", ".join(f"{key} {value}" for key, value in chosen.items()) or "the defaults"
        yield missing(f"Rules.{name}", f"It refuses {words}, which can work.", "Correct it.")


def _refusals(template: dict[str, Any], parameters: Mapping[str, Any]) -> list[str]:
    stack = make_stack(template, parameters)
    return [
        name
        for name, rule in stack.rules.items()
        if isinstance(rule, dict)
        and rule.get("RuleCondition", True) is True
        and not all(it.get("Assert") is True for it in rule.get("Assertions") or [])
    ]
