"""The Dockerfile, read into stages and instructions.

https://docs.docker.com/reference/dockerfile/ (2026-10), as far as this project uses it: here
documents and parser directives are not known, and a build would say so.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

import msgspec

from farthing.deployment.documents import Unreadable
from farthing.deployment.findings import Finding

if TYPE_CHECKING:
    from farthing.deployment.project import Project

DOCKERFILE = "infra/docker/Dockerfile"
KEYWORDS = re.compile(
    "ADD|ARG|CMD|COPY|ENTRYPOINT|ENV|EXPOSE|FROM|HEALTHCHECK|LABEL|ONBUILD|RUN|SHELL|STOPSIGNAL"
    "|USER|VOLUME|WORKDIR"
)
VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)")


class Instruction(msgspec.Struct, frozen=True):
    """One instruction, its continuation lines joined; `line` is where it begins."""

    keyword: str
    text: str
    line: int

    @property
    def at(self) -> str:
        return f"line {self.line}"

    @property
    def words(self) -> list[str]:
        """Words as a shell would split them; none where the quotes do not close."""
        try:
            return shlex.split(self.text)
        except ValueError:
            return []

    @property
    def exec_form(self) -> list[str] | None:
        """The words of a JSON array; None for what a shell would run."""
        try:
            words = json.loads(self.text)
        except ValueError:
            return None
        is_words = isinstance(words, list) and all(isinstance(word, str) for word in words)
        return words if is_words else None

    @property
    def pairs(self) -> dict[str, str]:
        """`NAME=value` of an ARG, ENV or LABEL; a bare name has an empty value."""
        return {name: value for name, _, value in (word.partition("=") for word in self.words)}

    @property
    def variables(self) -> set[str]:
        return set(VARIABLE.findall(self.text))

    @property
    def source_stage(self) -> str:
        """The stage that a `COPY --from` takes from, or nothing."""
        flags = [word for word in self.words if word.startswith("--from=")]
        return flags[0].removeprefix("--from=") if flags else ""

    @property
    def paths(self) -> list[str]:
        """What a COPY takes, and last where it goes."""
        return [word for word in self.words if not word.startswith("--")]


class Stage(msgspec.Struct, frozen=True):
    """From one FROM to the next. `base` is a stage's name or an image."""

    name: str
    base: str
    line: int
    instructions: tuple[Instruction, ...]

    @property
    def at(self) -> str:
        return f"stage {self.name}" if self.name else f"line {self.line}"

    def all(self, keyword: str) -> list[Instruction]:
        return [it for it in self.instructions if it.keyword == keyword]

    def last(self, keyword: str) -> Instruction | None:
        return next(iter(reversed(self.all(keyword))), None)

    def values(self, keyword: str) -> dict[str, str]:
        """All `NAME=value` of the stage's ENV, LABEL or ARG instructions; later ones win."""
        return {name: value for it in self.all(keyword) for name, value in it.pairs.items()}


class Dockerfile(msgspec.Struct, frozen=True):
    """`arguments` are those before the first FROM, which FROM lines may use."""

    arguments: dict[str, str]
    stages: tuple[Stage, ...]

    def stage(self, name: str) -> Stage | None:
        return next((stage for stage in self.stages if stage.name == name), None)

    def lineage(self, stage: Stage) -> list[Stage]:
        """The stage and those that it is made from, the eldest last."""
        found = [stage]
        while (parent := self.stage(found[-1].base)) and parent not in found:
            found.append(parent)
        return found


def read_dockerfile(project: Project) -> Dockerfile:
    """Raises `Unreadable` for a file that is missing or no Dockerfile."""
    try:
        text = (project.root / DOCKERFILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Unreadable(
            Finding(DOCKERFILE, "", f"It cannot be read: {error}.", "Restore it.")
        ) from None
    return parse_dockerfile(text)


def parse_dockerfile(text: str) -> Dockerfile:
    """Raises `Unreadable` naming the line of the first instruction that there is not."""
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    body: list[Instruction] = []
    for instruction in _instructions(text):
        if instruction.keyword == "FROM":
            image, name = _from(instruction)
            body = []
            stages.append(Stage(name, image, instruction.line, ()))
        elif not stages:
            if instruction.keyword != "ARG":
                raise _unreadable(instruction.line, f"{instruction.keyword} stands before FROM")
            arguments |= instruction.pairs
        else:
            body.append(instruction)
            stages[-1] = msgspec.structs.replace(stages[-1], instructions=tuple(body))
    if not stages:
        raise _unreadable(1, "There is no FROM")
    return Dockerfile(arguments, tuple(stages))


def _instructions(text: str) -> list[Instruction]:
    found: list[Instruction] = []
    pending, begun = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        begun = begun or number
        pending += stripped.removesuffix("\\") if stripped.endswith("\\") else stripped
        if stripped.endswith("\\"):
            pending += " "
            continue
        keyword, _, rest = pending.partition(" ")
        if not KEYWORDS.fullmatch(keyword.upper()):
            raise _unreadable(begun, f"There is no instruction {keyword}")
        found.append(Instruction(keyword.upper(), rest.strip(), begun))
        pending, begun = "", 0
    if pending:
        raise _unreadable(begun, "Its last line goes on and ends")
    return found


def _from(instruction: Instruction) -> tuple[str, str]:
    words = [word for word in instruction.words if not word.startswith("--")]
    if len(words) == 3 and words[1].upper() == "AS":
        return words[0], words[2]
    if len(words) == 1:
        return words[0], ""
    raise _unreadable(instruction.line, "FROM is not `FROM IMAGE AS NAME`")


def _unreadable(line: int, says: str) -> Unreadable:
    return Unreadable(
        Finding(DOCKERFILE, f"line {line}", f"It is no Dockerfile: {says}.", "Correct the line.")
    )


def image_default(base: str) -> tuple[str, str]:
    """`${BASE_IMAGE:-python:3.13}` as argument and default; an image itself has no argument."""
    found = re.fullmatch(r"\$\{(\w+):-([^}]+)\}", base)
    return (found[1], found[2]) if found else ("", base)


def base_image(project: Project, stage: str, argument: str) -> str:
    """The image that a target is built on (`BASE_IMAGE`) or by (`BUILD_IMAGE`) by default."""
    file = read_dockerfile(project)
    found = [image_default(it.base) for it in file.stages if argument in it.base]
    own = file.stage(stage)
    if own and argument in own.base:
        return image_default(own.base)[1]
    return found[0][1] if found else ""
