"""The stages that build: what they are given, what they run, what they leave behind."""

from __future__ import annotations

import re
import shlex
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import msgspec

from farthing.deployment.docker.dockerfile import (
    DOCKERFILE,
    Dockerfile,
    Instruction,
    Stage,
)
from farthing.deployment.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.project import Project

ASSEMBLE = "assemble.py"
PYTHON = ("tools/bin/python",)
SBOM = "infra/docker/sbom.py"
ASSEMBLE_SOURCE = "layers/deployment/python/farthing/deployment/pack/assemble.py"
TOOLS = r"\b(curl|wget|apt-get|apt|dnf|yum|apk|npm)\b"
PROBE = "/base-python"
PROBE_CODE = f"import sys; open('{PROBE}', 'w').write('%d.%d' % sys.version_info[:2])"
VENV = ["python3", "-m", "venv", "tools"]
PIP = [*PYTHON, "-m", "pip", "install"]
SBOM_TOOLS = "infra/docker/requirements-sbom.txt"
BUILD_PYTHON_ENV = {"PYTHONHASHSEED": "0"}
# BuildKit and buildah state it; https://docs.docker.com/reference/dockerfile/#automatic-platform-args-in-the-global-scope
ARCH = "$TARGETARCH"
# Layers beyond the function's own, which both wheels and code must have.
ALSO = "$ALSO"
STEPS = {"wheels", "models", "indexes", "code", "sbom"}


class Step(msgspec.Struct, frozen=True):
    """One call of ours in a RUN: `assemble.py code FUNCTION OUT ALSO`, `sbom.py FUNCTION OUT`."""

    name: str
    arguments: tuple[str, ...]
    line: Instruction

    @property
    def out(self) -> str:
        return self.arguments[1] if len(self.arguments) > 1 else ""


def steps(stage: Stage) -> list[Step]:
    """The calls of a stage, in order."""
    found = []
    for run in stage.all("RUN"):
        for command in commands(run):
            if len(command) > 2 and command[1] == ASSEMBLE:
                found.append(Step(command[2], tuple(command[3:]), run))
            elif len(command) > 1 and command[1] == SBOM:
                found.append(Step("sbom", tuple(command[2:]), run))
    return found


def commands(run: Instruction) -> list[list[str]]:
    """What a RUN calls: one list of words for each command between `&&`."""
    if run.exec_form is not None:
        return [run.exec_form]
    try:
        return [shlex.split(part) for part in run.text.split("&&")]
    except ValueError:
        return []


def image_functions(project: Project, target: str) -> list[str]:
    """Functions that are packed as this target: `lambda` or `http`."""
    return [name for name, it in project.functions.items() if f"{target}-image" in it.targets]


def given(file: Dockerfile, stage: Stage, at: Instruction) -> dict[str, str]:
    """Paths that a stage has by then, and the project's path that each was copied from."""
    found: dict[str, str] = {}
    for one in reversed(file.lineage(stage)):
        for copy in one.all("COPY"):
            if copy.source_stage or copy.line > at.line:
                continue
            *sources, goal = copy.paths or [""]
            for source in sources:
                is_content = source.endswith("/")
                is_folder = goal.endswith(("/", ".")) and not is_content
                path = PurePosixPath(goal, PurePosixPath(source).name if is_folder else "")
                found[str(path)] = source.rstrip("/")
    return found


def source_of(has: dict[str, str], path: str) -> str:
    """The project's path behind a path of the stage; nothing where it was never copied."""
    for place in [path, *map(str, PurePosixPath(path).parents)]:
        if place in has:
            rest = PurePosixPath(path).relative_to(place)
            return str(PurePosixPath(has[place], rest))
    return ""


def needs(project: Project, step: Step, target: str) -> dict[str, str]:
    """Paths that a step reads, and the project's file that should be there."""
    functions = image_functions(project, "lambda") + image_functions(project, "http")
    layers = {layer for name in functions for layer in project.functions[name].layers}
    wheels = [f"layers/{layer}/python/requirements.txt" for layer in sorted(layers)]
    paths = {
        "wheels": [
            *(it for it in wheels if (project.root / it).exists()),
            f"infra/docker/requirements-{target}.txt",
        ],
        "models": ["layers/models"],
        "indexes": ["layers/indexes"],
        "code": ["functions", *(f"layers/{it}/python/farthing" for it in sorted(layers))],
        "sbom": [SBOM],
    }.get(step.name, [])
    same = {path: path for path in [*paths, "pyproject.toml"]}
    return same if step.name == "sbom" else {**same, ASSEMBLE: ASSEMBLE_SOURCE}


def check_builders(project: Project, file: Dockerfile) -> Iterator[Finding]:
    for stage in file.stages:
        for step in steps(stage):
            yield from _check_step(project, file, stage, step)
        for run in stage.all("RUN"):
            yield from _check_run(project, file, stage, run)
        yield from _check_tools(file, stage)


def _check_step(project: Project, file: Dockerfile, stage: Stage, step: Step) -> Iterator[Finding]:
    arguments = ["$FUNCTION", step.out]
    target = stage.name.partition("-")[0]
    if step.name in {"wheels", "code"}:
        arguments.append(ALSO)
    if step.name == "wheels":
        arguments += [target, ARCH]
    if step.name not in STEPS or list(step.arguments) != arguments:
        yield _finding(
            step.line,
            f"`{step.name} {' '.join(step.arguments)}` is not what {stage.name} should make.",
            f"Call it as `{step.name} {' '.join(arguments)}`.",
        )
    has = given(file, stage, step.line)
    for path, source in needs(project, step, target).items():
        if source_of(has, path) != source:
            yield _finding(
                step.line,
                f"{stage.name} runs {step.name} without {source}.",
                f"COPY {source} to {path} before it.",
            )
    environ = {
        name: value for one in file.lineage(stage) for name, value in one.values("ENV").items()
    }
    if step.name in {"wheels", "code"} and not environ.items() >= BUILD_PYTHON_ENV.items():
        yield _finding(
            step.line,
            "Without PYTHONHASHSEED=0 each build makes other bytecode, so no layer is the same.",
            "Set it with ENV in the stage build.",
        )


def _check_run(
    project: Project, file: Dockerfile, stage: Stage, run: Instruction
) -> Iterator[Finding]:
    for words in commands(run) or [[]]:
        if not words:
            yield _finding(run, "Its command cannot be read as a shell would.", "Close its quotes.")
            continue
        if "pip" in words or words[0].endswith("pip"):
            yield from _check_pip(project, file, stage, run, words)
        if tool := re.search(TOOLS, " ".join(words)):
            says = f"{tool[1]} brings what nothing pins."
            yield _finding(run, says, "Bring it by a pinned wheel or by the base image.")
        is_ours = len(words) > 1 and words[1] in {ASSEMBLE, SBOM}
        if is_ours and words[0] not in PYTHON:
            yield _finding(run, f"{words[0]} lacks the build's own tools.", f"Call {PYTHON[0]}.")


def _check_pip(
    project: Project, file: Dockerfile, stage: Stage, run: Instruction, words: list[str]
) -> Iterator[Finding]:
    for option in ("--require-hashes", "--no-deps"):
        if option not in words:
            yield _finding(run, f"pip installs without {option}.", f"Add {option}.")
    named = [words[at + 1] for at, it in enumerate(words[:-1]) if it in {"--requirement", "-r"}]
    if not named:
        yield _finding(run, "pip installs what no file pins.", "Name a --requirement file.")
    for path in named:
        source = source_of(given(file, stage, run), path)
        if not source or not (project.root / source).is_file():
            yield _finding(run, f"{path} was not copied before it.", f"COPY {path} first.")


def _check_tools(file: Dockerfile, stage: Stage) -> Iterator[Finding]:
    """The build's own tools have to be there before they are called."""
    lineage = file.lineage(stage)
    ran = [it for one in reversed(lineage) for run in one.all("RUN") for it in commands(run)]
    called = next((run for run in stage.all("RUN") if PYTHON[0] in run.text), None)
    if called is None:
        return
    if VENV not in ran:
        yield _finding(called, f"{PYTHON[0]} is never made.", f"RUN {' '.join(VENV)} first.")
    if not any(words[: len(PIP)] == PIP and SBOM_TOOLS in words for words in ran):
        yield _finding(
            called,
            "What writes the bill of materials is never installed.",
            f"RUN {' '.join(PIP)} --no-deps --require-hashes --requirement {SBOM_TOOLS}.",
        )
    if not any(one.last("WORKDIR") for one in lineage):
        yield _finding(called, "It has no folder of its own.", "Set a WORKDIR.")


def _finding(line: Instruction, says: str, do: str) -> Finding:
    return Finding(DOCKERFILE, line.at, says, do)
