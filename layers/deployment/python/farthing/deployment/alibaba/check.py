"""Every finding in the Serverless Devs files."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from farthing.deployment.alibaba.agreement import disagreements, secrets_in_file
from farthing.deployment.alibaba.batch import BATCH, batch_faults
from farthing.deployment.alibaba.caching import cache_faults, cache_secrets
from farthing.deployment.alibaba.events import event_faults, overlaps, ping_faults
from farthing.deployment.alibaba.floors import WARM, floor_faults
from farthing.deployment.alibaba.gathering import gathering_faults
from farthing.deployment.alibaba.indexing import (
    INDEXER,
    check_lifecycle,
    index_faults,
    writer_faults,
)
from farthing.deployment.alibaba.invariants import violations
from farthing.deployment.alibaba.shape import parse
from farthing.deployment.alibaba.stack import FOLDER, Stack, read_stack, stack_files
from farthing.deployment.documents import Unreadable
from farthing.deployment.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from farthing.deployment.alibaba.models import FunctionProps
    from farthing.deployment.project import Function, Project

COMPONENT = "fc3"
PREFIX = "farthing-"
# Functions that answer nobody, and the file whose stack has work for them.
ONLY_IN = {INDEXER: "index", BATCH: "batch"}


def check(project: Project) -> Iterator[Finding]:
    """What is wrong, once each: a fault of s.yaml shows in every file that extends it."""
    seen: set[Finding] = set()
    files = stack_files(project)
    warm = f"{FOLDER}/s.{WARM}.yaml"
    for file in files if warm in files else [*files, warm]:
        for finding in _check_file(project, file):
            if finding not in seen:
                seen.add(finding)
                yield finding
    yield from check_lifecycle(project)


def _check_file(project: Project, file: str) -> Iterator[Finding]:
    try:
        stack = read_stack(project, file)
    except Unreadable as unreadable:
        yield unreadable.finding
        return
    yield from stack.faults
    functions = project.on("alibaba")
    yield from _strangers(stack, set(functions))
    parsed: dict[str, FunctionProps] = {}
    for name, function in functions.items():
        is_due = function.serves or ONLY_IN.get(name) == profile_of(stack)
        if name not in stack.resources and not is_due:
            continue
        if name not in stack.resources:
            says = f"pyproject.toml puts {name} on alibaba, and no resource here is named so."
            yield Finding(stack.file, "resources", says, f"Add the resource {name}.")
            continue
        if "http-image" not in function.targets:
            says = f"pyproject.toml builds no http-image of {name}, which this would run."
            yield Finding("pyproject.toml", f"tool.farthing.functions.{name}", says, "Add it.")
        props = yield from _check_function(project, stack, name, function)
        if props is not None:
            parsed[name] = props
    for name, fault in (
        *overlaps(parsed),
        *writer_faults(parsed),
        *batch_faults(parsed),
    ):
        yield stack.resources[name].finding(*fault)


def profile_of(stack: Stack) -> str:
    """`warm` of s.warm.yaml; of s.yaml itself `yaml`."""
    return PurePath(stack.file).suffixes[0].lstrip(".")


def _strangers(stack: Stack, known: set[str]) -> Iterator[Finding]:
    """Resources that nothing deploys, or that bear our name and are none of our functions."""
    for name, resource in stack.resources.items():
        if resource.component is None:
            says = "It has no component, so `s` cannot deploy it."
            do = f"Name its component, or rename it to one of {', '.join(sorted(known))}."
            yield Finding(stack.file, f"resources.{name}", says, do)
        stated = str(resource.props.get("functionName", ""))
        if name not in known and stated.startswith(PREFIX):
            says = f"It deploys {stated}, which pyproject.toml does not put on alibaba."
            yield Finding(stack.file, f"resources.{name}", says, "Remove it, or describe it there.")


def _check_function(
    project: Project, stack: Stack, name: str, function: Function
) -> Generator[Finding, None, FunctionProps | None]:
    """Yields findings; its value is the parsed properties, or None."""
    resource = stack.resources[name]
    if resource.component != COMPONENT:
        says = f"The component is {resource.component!r}; functions are deployed by {COMPONENT}."
        yield Finding(stack.file, f"resources.{name}.component", says, f"Write {COMPONENT}.")
    props, faults = parse(resource.props)
    told = {fault.at for fault in faults}
    for fault in disagreements(name, function, project, resource.props):
        if fault.at not in told:
            faults.append(fault)
    faults += [*secrets_in_file(resource.raw), *cache_secrets(resource.raw)]
    if props is not None:
        faults += violations(props, answers=function.serves)
        faults += event_faults(props, answers=function.serves)
        faults += index_faults(props, name)
        faults += cache_faults(props, name, profile_of(stack))
        faults += gathering_faults(props, name, function, profile_of(stack))
        faults += ping_faults(props, profile_of(stack))
        faults += floor_faults(props, profile_of(stack))
    for fault in faults:
        yield resource.finding(*fault)
    return props
