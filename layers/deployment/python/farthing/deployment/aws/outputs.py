"""Outputs: where to call, and how to start again what the breaker stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.deployment.aws.access import API
from farthing.deployment.aws.names import alias_arn, deployed, serving, stopped
from farthing.deployment.aws.wanted import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.aws.stack import Stack
    from farthing.deployment.findings import Finding
    from farthing.deployment.project import Project

KEYS = {"Value", "Condition", "Description", "Export"}


def check_outputs(project: Project, stack: Stack) -> Iterator[Finding]:
    values = [str(value) for value in stack.outputs.values()]
    for name in serving(project):
        function = stack.function(name)
        if function is None:
            continue
        for value, what in (
            (f"{function.id}Url.FunctionUrl", "the URL"),
            (alias_arn(name), "the alias"),
        ):
            if value not in values:
                yield missing(
                    "Outputs", f"No output gives {what} of {name}.", f"Add one of {value}."
                )
    if stack.profile != "cpu":
        yield from _lift(project, stack, values)
    for api in stack.of(API):
        if f"https://{api.id}.execute-api.us-east-1.amazonaws.com" not in values:
            yield missing("Outputs", "No output gives the API's URL.", "Add it.")
    for name, output in stack.template.get("Outputs", {}).items():
        for key in output.keys() - KEYS:
            yield missing(f"Outputs.{name}.{key}", "An output has no such key.", "Correct it.")


def _lift(project: Project, stack: Stack, values: list[str]) -> Iterator[Finding]:
    for name in stopped(project, stack):
        lift = f"--function-name {deployed(name)}"
        if not any(_lifts(value, lift) for value in values):
            yield missing(
                "Outputs",
                f"No output says how to start {name} again after the breaker stopped it.",
                f"Add `aws lambda delete-function-concurrency --region REGION {lift}`.",
            )


def _lifts(value: str, lift: str) -> bool:
    command = "aws lambda delete-function-concurrency --region us-east-1 "
    return any(part.strip() == command + lift for part in value.split(";"))
