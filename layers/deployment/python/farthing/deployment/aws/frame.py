"""The template's frame: its sections, and the keys that its resources may have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.deployment.aws.wanted import missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from farthing.deployment.findings import Finding

TOP = {
    "AWSTemplateFormatVersion", "Conditions", "Description", "Globals", "Mappings", "Metadata",
    "Outputs", "Parameters", "Resources", "Rules", "Transform",
}  # fmt: skip
RESOURCE = {
    "Type", "Condition", "Properties", "Metadata", "DependsOn", "DeletionPolicy",
    "UpdateReplacePolicy", "CreationPolicy", "UpdatePolicy",
}  # fmt: skip


def check_template(template: Mapping[str, Any]) -> Iterator[Finding]:
    """The template's own frame: its sections, and the keys of its resources."""
    wanted = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Transform": "AWS::Serverless-2016-10-31",
    }
    for key, value in wanted.items():
        if template.get(key) != value:
            yield missing(key, f"It is {template.get(key)}.", f"Make it '{value}'.")
    for key in template.keys() - TOP:
        yield missing(key, "A template has no such section.", "Correct its name.")
    for name, resource in template["Resources"].items():
        for key in resource.keys() - RESOURCE:
            yield missing(f"Resources.{name}.{key}", "A resource has no such key.", "Correct it.")
    for key in template.get("Globals", {}).keys() - {"Function", "HttpApi", "CapacityProvider"}:
        yield missing(f"Globals.{key}", "Globals have no such section.", "Correct its name.")
