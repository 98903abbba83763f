"""Mutants of the shipped deployment files: one change each, of the kinds that hands make.

A mutant drops or misspells a key, changes a number (ten times, or a fraction for a percentage),
changes a unit, misspells a name, or loses a line. Nothing here knows what any key means; which
changes do no harm is stated, with the reason, where the mutants are judged.
"""

from __future__ import annotations

import copy
import re
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from farthing.deployment.documents import parse_documents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Edit = Callable[[Any, Any], object]

Path = tuple[str | int, ...]
UNITS = {"Mi": "Gi", "Gi": "Mi", "m": "", "s": "h", "h": "s", "%": ""}
QUANTITY = re.compile(r"^(\d+(?:\.\d+)?)(Mi|Gi|m|s|h|%)$")
NUMBER = re.compile(r"^-?\d+(\.\d+)?$")
NAME = re.compile(r"^[A-Za-z][\w./:${}@-]*$")


class Mutant(NamedTuple):
    """`kind` is what was done, `at` the dotted path; `make` gives the whole file afterwards.

    There are thousands of mutants, and few are asked for their text.
    """

    file: str
    kind: str
    at: str
    was: str
    make: Callable[[], str]

    @property
    def text(self) -> str:
        return self.make()

    def __str__(self) -> str:
        return f"{self.file}: {self.kind} {self.at} (was {self.was})"


def yaml_mutants(file: str, text: str) -> Iterator[Mutant]:
    """Every single change of a YAML file's keys and scalars."""
    documents = parse_documents(text, file)
    for path, value in _walk(documents):
        at = ".".join(map(str, path))
        was = repr(value) if not isinstance(value, dict | list) else type(value).__name__
        for kind, edit in _edits(path, value):
            yield Mutant(file, kind, at, was[:60], partial(_edited, documents, path, edit))


def line_mutants(file: str, text: str, within: str = "") -> Iterator[Mutant]:
    """Every line lost, every number and bare word changed; only in tables named by `within`."""
    lines = text.splitlines()
    table = ""
    for number, line in enumerate(lines):
        if line.startswith("["):
            table = line.strip("[] ")
        if not line.strip() or line.lstrip().startswith("#") or not table.startswith(within):
            continue
        at = f"{table}:{line.strip()[:70]}" if within else line.strip()[:70]
        changes = [("drop line", None)]
        for match in re.finditer(r"\b\d+\b", line):
            changes.append(("number", line[: match.start()] + match[0] + "0" + line[match.end() :]))
        for match in re.finditer(r"(?<=[\"=/ ])[a-z][a-z-]{2,}(?=[\"\s,\]]|$)", line):
            changes.append(("name", line[: match.end()] + "x" + line[match.end() :]))
        for kind, changed in changes:
            rest = lines[:number] + ([] if changed is None else [changed]) + lines[number + 1 :]
            text = "\n".join(rest) + "\n"
            yield Mutant(file, kind, at, (changed or "")[:60], partial(str, text))


def _walk(node: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    children = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    for key, value in children:
        yield (*path, key), value
        yield from _walk(value, (*path, key))


def _edits(path: Path, value: Any) -> Iterator[tuple[str, Edit]]:
    if isinstance(path[-1], str):
        yield "drop key", lambda parent, key: parent.pop(key)
        if not path[-1].startswith(("Fn::", "Ref")):
            yield "misspell key", _misspell
    elif len(path) > 1:
        yield "drop item", lambda parent, key: parent.pop(key)
    for kind, changed in _other_values(value):
        yield kind, partial(_set, value=changed)


def _other_values(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, bool):
        yield "switch", not value
    elif isinstance(value, int | float):
        yield "number", value * 10 if value else 10
        if 0 < value <= 1:
            yield "fraction as percent", round(value * 100)
        elif value == 70:
            yield "percent as fraction", 0.7
    elif isinstance(value, str) and (quantity := QUANTITY.match(value)):
        yield "unit", quantity[1] + UNITS[quantity[2]]
        yield "number", quantity[1] + "0" + quantity[2]
    elif isinstance(value, str) and NUMBER.match(value):
        yield "number", f"{Decimal(value) * 10:f}"
        if value == "70":
            yield "percent as fraction", "0.7"
    elif isinstance(value, str) and NAME.match(value):
        yield "name", value + "x"


def _edited(documents: list[Any], path: Path, edit: Edit) -> str:
    """The documents as YAML, after an edit of the last key of `path` in its parent."""
    changed = copy.deepcopy(documents)
    parent: Any = changed
    for key in path[:-1]:
        parent = parent[key]
    edit(parent, path[-1])
    return yaml.safe_dump_all(changed, sort_keys=False)


def _misspell(parent: dict[str, Any], key: str) -> None:
    renamed = {(name + "x" if name == key else name): value for name, value in parent.items()}
    parent.clear()
    parent.update(renamed)


def _set(parent: Any, key: Any, value: Any) -> None:
    parent[key] = value
