"""Whether a function's properties have the shape that Function Compute takes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jsonschema
from jsonschema.exceptions import best_match
from pydantic import ValidationError

from farthing.deployment.alibaba.models import FunctionProps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

SCHEMA = Path(__file__).with_name("fc3.schema.json")

# What the service or the component takes, and Farthing's files must not use.
AVOIDED = {
    "provisionConfig": "It and scalingConfig write the same floor; the later one wins.",
    "disableOndemand": "It refuses every call above the floor, and with a floor of 0 every call.",
    "code": "A container function has its code in its image.",
    "handler": "A container function has no handler; its server is its entry.",
}


class Fault(NamedTuple):
    """`at` is the dotted path inside the properties."""

    at: str
    says: str
    do: str


def parse(props: Mapping[str, Any]) -> tuple[FunctionProps | None, list[Fault]]:
    """The properties as a model, or None and what is wrong with them."""
    avoided = [Fault(key, says, "Remove it.") for key, says in AVOIDED.items() if key in props]
    rest = {key: value for key, value in props.items() if key not in AVOIDED}
    try:
        return FunctionProps.model_validate(rest), avoided + _published(rest, set())
    except ValidationError as error:
        faults: dict[str, Fault] = {}
        for details in error.errors(include_url=False):
            fault = _fault(rest, details)
            # Of a union every branch complains; the first complaint at a place is enough.
            faults.setdefault(fault.at, fault)
        return None, [*avoided, *faults.values(), *_published(rest, set(faults))]


def _fault(props: Mapping[str, Any], details: ErrorDetails) -> Fault:
    location = details["loc"]
    path: list[str] = []
    content: Any = props
    for index, part in enumerate(location):
        inside = dict(enumerate(content)) if isinstance(content, list) else content
        if isinstance(inside, dict) and part in inside:
            content = inside[part]
        elif index == len(location) - 1 and details["type"] == "missing":
            pass
        else:
            continue  # the name of a union's branch, which stands in no file
        path.append(str(part))
    at = ".".join(path)
    if details["type"] == "missing":
        return Fault(at, "The key is missing.", "Add it.")
    if details["type"] == "extra_forbidden":
        return Fault(at, "Function Compute takes no such key here.", "Correct or remove it.")
    message = details["msg"].removeprefix("Value error, ").replace("Input should", "it should")
    given = details["input"]
    told = "" if isinstance(given, dict | list) else f"It is {given!r}; "
    sentence = f"{told}{message}."
    return Fault(at, sentence[0].upper() + sentence[1:], "Correct it.")


@cache
def _validator() -> Any:
    return jsonschema.Draft7Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


def _published(props: Mapping[str, Any], known: set[str]) -> list[Fault]:
    """What the component's own schema refuses and is not known yet; it passes unknown keys."""
    faults = []
    for error in _validator().iter_errors(props):
        deepest = best_match([error]) or error
        at = ".".join(str(part) for part in deepest.absolute_path)
        if not any(at.startswith(it) or it.startswith(at) for it in known):
            says = f"The fc3 component's schema refuses it: {deepest.message[:200]}."
            faults.append(Fault(at, says, "Correct it."))
    return faults
