"""YAML documents of the project, read safely; what cannot be read becomes a finding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from farthing.deployment.findings import Finding

if TYPE_CHECKING:
    from farthing.deployment.project import Project


class Unreadable(Exception):
    """A file is missing or no YAML; `finding` says which and where."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


class _Tagged(yaml.SafeLoader):
    """Reads CloudFormation's short forms as the long ones: `!Ref X` is `{"Ref": "X"}`."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {name!r} stands here twice", key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep=deep)


def _short_form(loader: Any, suffix: str, node: Any) -> Any:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


_Tagged.add_multi_constructor("!", _short_form)


def parse_documents(text: str, file: str) -> list[Any]:
    """Every document in the text; `file` is what a finding calls it.

    Raises `Unreadable` for text that is no YAML, has a key twice or holds no document.
    """
    try:
        found = [it for it in yaml.load_all(text, Loader=_Tagged) if it is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise Unreadable(Finding(file, line, f"It is no YAML: {problem}.", "Correct it.")) from None
    if not found:
        raise Unreadable(Finding(file, "", "It holds no document.", "Restore it."))
    return found


def read_documents(project: Project, file: str) -> list[Any]:
    """Every document of a file named from the project's root; raises `Unreadable`."""
    try:
        text = (project.root / file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = "There is no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise Unreadable(
            Finding(file, "", f"It cannot be read: {reason}.", "Restore it.")
        ) from None
    return parse_documents(text, file)
