"""CloudFormation's resource schemas, as cfn-lint ships them, on evaluated properties."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any

import jsonschema
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER, ResourceNotFoundError

from farthing.deployment.aws.intrinsics import SCHEMA_REGION
from farthing.deployment.aws.names import deployed
from farthing.deployment.aws.wanted import missing, show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.aws.stack import Resource
    from farthing.deployment.findings import Finding
    from farthing.deployment.project import Project

# The tags by which bills are told apart; `function` where a resource is one function's.
APP = "farthing"


def check_schema(resource: Resource) -> Iterator[Finding]:
    """Unknown types and properties, missing ones, and values of the wrong kind."""
    validator = _validator(resource.type)
    at = f"Resources.{resource.id}"
    if validator is None:
        yield missing(at, f"There is no resource type {resource.type}.", "Correct the type.")
        return
    for error in validator.iter_errors(resource.properties):
        path = ".".join([at, *map(str, error.absolute_path)])
        says = f"It is not what {resource.type} takes: {show(error.message)}."
        yield missing(path, says, "Correct it.")


def check_tags(project: Project, resource: Resource, profile: str) -> Iterator[Finding]:
    """Every resource that takes tags has those by which the bill is divided."""
    name = tag_property(resource.type)
    if name is None:
        return
    found = resource.properties.get(name) or {}
    if isinstance(found, list):
        found = {it.get("Key"): it.get("Value") for it in found if isinstance(it, dict)}
    wanted = {"app": APP, "profile": profile}
    others = json.dumps({key: it for key, it in resource.properties.items() if key != name})
    named = {it for it in project.on("aws") if re.search(rf"\b{deployed(it)}\b", others)}
    if len(named) == 1:
        (wanted["function"],) = named
    for key, value in wanted.items():
        if found.get(key) != value:
            yield missing(
                f"Resources.{resource.id}.{name}",
                f"The tag {key} is {show(found.get(key))}, so the bill would not show its cost.",
                f"Set the tag {key} to {value}.",
            )


def tag_property(kind: str) -> str | None:
    """Where a resource of that type takes tags, if it does."""
    schema = _schema(kind) or {}
    path = schema.get("tagging", {}).get("tagProperty", "/properties/Tags").rpartition("/")[2]
    return path if path in schema.get("properties", {}) else None


def _schema(kind: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = PROVIDER_SCHEMA_MANAGER.get_resource_schema(
            SCHEMA_REGION, kind
        ).schema
    except ResourceNotFoundError:
        return None
    return found


@cache
def _validator(kind: str) -> Any:
    schema = _schema(kind)
    if schema is None:
        return None
    # CloudFormation takes numbers as text, and text as numbers, as parameters give them.
    checker = jsonschema.Draft7Validator.TYPE_CHECKER.redefine_many(
        {
            "integer": lambda _, it: not isinstance(it, bool) and str(it).lstrip("-").isdecimal(),
            "number": lambda _, it: isinstance(it, int | float) or str(it).isdecimal(),
            "string": lambda _, it: isinstance(it, str | int | float),
        }
    )
    extend: Any = jsonschema.validators.extend
    kinds = extend(
        jsonschema.Draft7Validator,
        validators={"pattern": _pattern, "minimum": _minimum, "maximum": _maximum},
        type_checker=checker,
    )
    return kinds(schema)


def _pattern(_validator: Any, pattern: str, value: Any, _schema: Any) -> Iterator[Any]:
    try:
        fits = not isinstance(value, str) or re.search(pattern, value)
    except re.error:
        return  # A few patterns are Java's, and name Unicode classes that Python does not know.
    if not fits:
        yield jsonschema.ValidationError(f"{value} does not match {pattern}")


def _minimum(_validator: Any, least: float, value: Any, _schema: Any) -> Iterator[Any]:
    if (number := _number(value)) is not None and number < least:
        yield jsonschema.ValidationError(f"{value} is less than {least}")


def _maximum(_validator: Any, most: float, value: Any, _schema: Any) -> Iterator[Any]:
    if (number := _number(value)) is not None and number > most:
        yield jsonschema.ValidationError(f"{value} is more than {most}")


def _number(value: Any) -> float | None:
    try:
        return None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None
