"""A Serverless Devs file as `s` would read it: extended, its templates and variables put in.

What the tool does was found by running `s preview` of @serverless-devs/s 3.1.10: `extend:` takes
one file, maps merge, lists are replaced; a resource's `extend.name` puts a template's properties
under its own; then `${vars.x}` and `${env('NAME', 'default')}` are put in.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from farthing.deployment.documents import Unreadable, read_documents
from farthing.deployment.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from farthing.deployment.project import Project

FOLDER = "infra/alibaba"
BASE = f"{FOLDER}/s.yaml"
ROOT_KEYS = {"edition", "name", "access", "vars", "template", "resources", "extend"}
RESOURCE_KEYS = {"component", "extend", "props", "actions"}
# An account's number is known only where `s config` was run.
ACCOUNT = "1234567890123456"

VARIABLE = re.compile(r"\$\{([^{}]*)\}")
ENVIRONMENT = re.compile(r"env\('(?P<name>\w+)'(?:,\s*'(?P<default>[^']*)')?\)")


class Resource(NamedTuple):
    """`props` are resolved; `raw` still hold their `${…}`; `files` lead a path to its file."""

    name: str
    component: object
    props: dict[str, Any]
    raw: dict[str, Any]
    files: Sequence[tuple[str, str, Mapping[str, Any]]]

    def finding(self, at: str, says: str, do: str) -> Finding:
        """A finding that names the file and the place where a user would edit `at`."""
        parts = at.split(".") if at else []
        for length in range(len(parts), -1, -1):
            for file, prefix, content in self.files:
                if _holds(content, parts[:length]):
                    return Finding(file, f"{prefix}.{at}" if at else prefix, says, do)
        return Finding(BASE, f"resources.{self.name}", says, do)


class Stack(NamedTuple):
    """One file that `s deploy -t FILE` takes; `faults` are what kept parts of it unread."""

    file: str
    resources: dict[str, Resource]
    faults: tuple[Finding, ...]


def stack_files(project: Project) -> list[str]:
    """The base and every file beside it that extends it, the base first."""
    found = sorted((project.root / FOLDER).glob("s.*.yaml"))
    return [BASE, *(f"{FOLDER}/{path.name}" for path in found)]


def read_stack(project: Project, file: str) -> Stack:
    """Raises `Unreadable` for a file that is missing, is no YAML or extends another wrongly."""
    own = _mapping(project, file)
    documents = [(file, own)]
    if "extend" in own:
        parent = f"{FOLDER}/{own['extend']}"
        documents.append((parent, _mapping(project, parent)))
        if "extend" in documents[1][1]:
            says = f"It extends {own['extend']}, which extends another; `s` follows one step."
            raise Unreadable(Finding(file, "extend", says, "Extend s.yaml itself."))
    merged: dict[str, Any] = {}
    for _, content in reversed(documents):
        merged = merge(merged, {key: it for key, it in content.items() if key != "extend"})
    faults = list(_root_faults(file, merged, documents))
    scope = _Scope(file, merged.get("vars", {}))
    templates = merged.get("template", {})
    resources = {}
    for name, resource in merged.get("resources", {}).items():
        for key in sorted(set(resource) - RESOURCE_KEYS):
            says = f"`s` knows no key {key!r} of a resource."
            faults.append(Finding(file, f"resources.{name}.{key}", says, "Correct or remove it."))
        template = str(resource.get("extend", {}).get("name", ""))
        if template and template not in templates:
            says = f"It extends the template {template!r}, which there is not."
            where = f"resources.{name}.extend.name"
            faults.append(Finding(file, where, says, f"Name one of {', '.join(templates)}."))
        raw = merge(templates.get(template, {}), resource.get("props", {}))
        places = [
            (source, prefix, _at(content, prefix))
            for source, content in documents
            for prefix in (f"resources.{name}.props", f"template.{template}")
        ]
        props = scope.resolve(raw, f"resources.{name}.props")
        resources[name] = Resource(name, resource.get("component"), props, raw, places)
    return Stack(file, resources, (*faults, *scope.faults))


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Both maps in one: maps inside them merge, everything else of `over` replaces."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, dict) and isinstance(value, dict)
        merged[key] = merge(below, value) if both else value  # type: ignore[arg-type]
    return merged


class _Scope:
    """The variables of a stack, and what could not be put in."""

    def __init__(self, file: str, variables: Mapping[str, Any]) -> None:
        self._file = file
        self._variables = variables
        self._resolving: list[str] = []
        self.faults: list[Finding] = []

    def resolve(self, value: Any, at: str) -> Any:
        if isinstance(value, dict):
            return {key: self.resolve(it, f"{at}.{key}") for key, it in value.items()}
        if isinstance(value, list):
            return [self.resolve(it, f"{at}.{index}") for index, it in enumerate(value)]
        if not isinstance(value, str):
            return value
        alone = VARIABLE.fullmatch(value)
        if alone:
            return self._value(alone[1].strip(), at)
        return VARIABLE.sub(lambda found: str(self._value(found[1].strip(), at)), value)

    def _value(self, expression: str, at: str) -> Any:
        if expression == "config('AccountID')":
            return ACCOUNT
        environment = ENVIRONMENT.fullmatch(expression)
        if environment:
            default = environment["default"]
            # Whoever deploys must set it; what it will hold only stands in here.
            return environment["name"].lower().replace("_", "-") if default is None else default
        name = expression.removeprefix("vars.")
        if name != expression and name in self._variables and name not in self._resolving:
            self._resolving.append(name)
            value = self.resolve(self._variables[name], f"vars.{name}")
            self._resolving.pop()
            return value
        says = f"`s` cannot resolve ${{{expression}}}."
        known = ", ".join(f"vars.{it}" for it in self._variables)
        do = f"Use one of {known}, env('NAME', 'default') or config('AccountID')."
        self.faults.append(Finding(self._file, at, says, do))
        return ""


def _mapping(project: Project, file: str) -> dict[str, Any]:
    content = read_documents(project, file)[0]
    _require_maps(file, content, "", _MAPS)
    name = content.get("name", "")
    extended = content.get("extend", "")
    for at, value in (("name", name), ("extend", extended)):
        if not isinstance(value, str):
            raise Unreadable(Finding(file, at, f"It is {value!r}, and no name.", "Restore it."))
    return dict(content)


# Where only maps can stand: by key, or for every key there is.
_MAPS: dict[str, Any] = {
    "vars": {},
    "template": {"*": {}},
    "resources": {"*": {"extend": {}, "props": {}}},
}


def _require_maps(file: str, content: Any, at: str, wanted: Mapping[str, Any]) -> None:
    if not isinstance(content, dict):
        raise Unreadable(Finding(file, at, "It holds no map of keys.", "Restore it."))
    for key, inside in wanted.items():
        for name in content if key == "*" else [key]:
            if name in content:
                _require_maps(file, content[name], f"{at}.{name}".lstrip("."), inside)


def _root_faults(
    file: str, merged: Mapping[str, Any], documents: Sequence[tuple[str, Mapping[str, Any]]]
) -> Iterator[Finding]:
    for source, content in documents:
        for key in sorted(set(content) - ROOT_KEYS):
            says = f"`s` knows no key {key!r}."
            yield Finding(source, key, says, f"Use one of {', '.join(sorted(ROOT_KEYS))}.")
    if merged.get("edition") != "3.0.0":
        says = f"The edition is {merged.get('edition')!r}; the fc3 component needs 3.0.0."
        yield Finding(file, "edition", says, "Write edition: 3.0.0.")
    if not merged.get("name"):
        yield Finding(file, "name", "The stack has no name; `s` asks for one.", "Name it.")


def _at(content: Any, path: str) -> Mapping[str, Any]:
    for key in path.split("."):
        content = content.get(key) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else {}


def _holds(content: Any, parts: Sequence[str]) -> bool:
    for part in parts:
        if isinstance(content, list) and part.isdecimal() and int(part) < len(content):
            content = content[int(part)]
        elif isinstance(content, dict) and part in content:
            content = content[part]
        else:
            return False
    return bool(content)
