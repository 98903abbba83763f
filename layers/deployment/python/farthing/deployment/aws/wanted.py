"""Wanted values: what a property must be, why, and the finding where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from farthing.deployment.aws.stack import TEMPLATE, Resource
from farthing.deployment.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from farthing.deployment.aws.stack import Stack


class Wanted(NamedTuple):
    """`words` complete the sentence "Make it …"."""

    test: Callable[[Any], bool]
    words: str


class Rule(NamedTuple):
    """The property at a dotted path is as wanted; `why` completes "It is …, but …"."""

    path: str
    wanted: Wanted
    why: str


def exactly(value: Any) -> Wanted:
    return Wanted(lambda it: it is value or (it == value and type(it) is not bool), show(value))


def one_of(*values: Any) -> Wanted:
    return Wanted(lambda it: it in values, " or ".join(map(show, values)))


def between(low: float, high: float) -> Wanted:
    """A number from `low` to `high`, both included."""
    return Wanted(
        lambda it: isinstance(it, int | float) and not isinstance(it, bool) and low <= it <= high,
        f"a number from {low} to {high}",
    )


def containing(value: Any) -> Wanted:
    return Wanted(
        lambda it: isinstance(it, list | tuple | set | dict) and value in it,
        f"a list with {show(value)}",
    )


def given() -> Wanted:
    return Wanted(lambda it: it not in (None, "", [], {}), "what it should be")


ABSENT = Wanted(lambda it: it is None, "absent")


def show(value: Any) -> str:
    text = "true" if value is True else "false" if value is False else str(value)
    return text if len(text) <= 120 else text[:117] + "..."


def hold(resource: Resource, rules: Iterable[Rule]) -> Iterator[Finding]:
    """A finding for each rule that the resource breaks."""
    for path, wanted, why in rules:
        found = resource.get(path)
        if not wanted.test(found):
            yield Finding(
                TEMPLATE,
                f"Resources.{resource.id}.{path}",
                f"It is {'missing' if found is None else show(found)}, but {why}.",
                f"Make it {wanted.words}." if wanted is not ABSENT else "Remove it.",
            )


def missing(at: str, says: str, do: str) -> Finding:
    """Something of the template that is not there, or not as it must be."""
    return Finding(TEMPLATE, at, says, do)


def check_retained(stack: Stack, resource: Resource, what: str) -> Iterator[Finding]:
    """A finding for each way in which `what` the resource holds would go with the stack."""
    declared = stack.template["Resources"][resource.id]
    for key in ("DeletionPolicy", "UpdateReplacePolicy"):
        if declared.get(key) != "Retain":
            yield missing(
                f"Resources.{resource.id}.{key}",
                f"It is {declared.get(key)}, so {what} would go with the stack.",
                "Make it Retain.",
            )
