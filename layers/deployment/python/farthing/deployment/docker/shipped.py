"""The stages that are shipped: `lambda` and `http`."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from farthing.deployment.docker.builders import PROBE, PROBE_CODE, image_functions, steps
from farthing.deployment.docker.dockerfile import DOCKERFILE, Dockerfile, Instruction, Stage
from farthing.deployment.docker.start import check_start, matching
from farthing.deployment.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.project import Project

# Where each part goes, in the order of how seldom it changes, and the step that makes it.
PARTS = {
    "/opt/python": "wheels",
    "/opt/models": "models",
    "/opt/indexes": "indexes",
    "/opt/sbom": "sbom",
    "/var/task": "code",
}
RUNS = {"lambda": "awslambdaric", "http": "uvicorn"}
# https://github.com/opencontainers/image-spec/blob/main/annotations.md (1.1)
OCI = "org.opencontainers.image."
LABELS = {
    f"{OCI}title": r"farthing-\$\{FUNCTION\}",
    f"{OCI}description": r".*\$\{FUNCTION\}.*",
    f"{OCI}version": r"\$\{VERSION\}",
    f"{OCI}revision": r"\$\{REVISION\}",
    f"{OCI}source": r"\$\{SOURCE\}",
}
# Lambda takes a snapshot of an image that is not built on AWS's own base only if it says so.
# https://github.com/serverless/serverless/issues/13834 (2026-09)
SNAPSTART = {"com.amazonaws.lambda.feature.snapstart": r"Allow"}


def check_shipped(project: Project, file: Dockerfile) -> Iterator[Finding]:
    users = set()
    for target, module in RUNS.items():
        if not image_functions(project, target):
            continue
        stage = file.stage(target)
        if stage is None:
            names = ", ".join(image_functions(project, target))
            yield Finding(
                DOCKERFILE,
                "",
                f"There is no stage {target}, which {names} are packed as.",
                f"Restore FROM … AS {target}.",
            )
            continue
        yield from _check_parts(file, stage)
        yield from _check_probe(file, stage)
        yield from check_start(project, stage, module)
        yield from _check_user(stage)
        yield from _check_labels(project, stage)
        users.add(_user(stage))
    if len(users) > 1:
        listed = " and ".join(sorted(users))
        yield Finding(
            DOCKERFILE, "", f"The targets run as different users: {listed}.", "Choose one."
        )


def _check_parts(file: Dockerfile, stage: Stage) -> Iterator[Finding]:
    goals = []
    for instruction in stage.instructions:
        if instruction.keyword in {"RUN", "ADD", "SHELL", "ONBUILD"}:
            yield _at(
                instruction,
                f"A shipped stage has {instruction.keyword}, for which a base has no tools.",
                "Do it in a stage that builds, and COPY the result.",
            )
        if instruction.keyword == "COPY":
            goal = (instruction.paths[-1:] or [""])[0].rstrip("/")
            if goal in PARTS:
                goals.append(goal)
                yield from _check_copy(file, stage, instruction, goal)
    if goals != list(PARTS):
        yield Finding(
            DOCKERFILE,
            stage.at,
            f"It copies {', '.join(goals) or 'nothing'}; what changes seldom has to come first, "
            f"and all of {', '.join(PARTS)} has to come.",
            "Copy all of these, in this order.",
        )


def _check_copy(file: Dockerfile, stage: Stage, copy: Instruction, goal: str) -> Iterator[Finding]:
    source, *_ = copy.paths or [""]
    maker = file.stage(copy.source_stage)
    if maker is None:
        yield _at(copy, "It does not come from a stage that builds.", "Add --from=STAGE.")
        return
    made = {str(PurePosixPath(_folder(file, maker), step.out)): step.name for step in steps(maker)}
    wanted = PARTS[goal]
    found = made.get(source.rstrip("/"))
    is_own = wanted not in {"wheels", "sbom"} or maker.name.startswith(f"{stage.name}-")
    if found != wanted or not is_own or not source.endswith("/"):
        yield _at(
            copy,
            f"{goal} holds the {wanted} of {stage.name}, but {source} of {maker.name} is "
            f"{found or 'made by none of its steps'}.",
            "Name the stage and the folder that make them.",
        )


def _folder(file: Dockerfile, stage: Stage) -> str:
    found = [it.text for one in file.lineage(stage) if (it := one.last("WORKDIR"))]
    return found[0] if found else "/"


def _check_probe(file: Dockerfile, stage: Stage) -> Iterator[Finding]:
    """Wheels are made for the base's own Python, which a stage on the same base has to state."""
    for maker in file.stages:
        if not (
            maker.name.startswith(f"{stage.name}-")
            and any(it.name == "wheels" for it in steps(maker))
        ):
            continue
        copies = [it for it in maker.all("COPY") if PROBE in it.paths]
        probe = file.stage(copies[0].source_stage) if copies else None
        states = probe is not None and any(
            it.exec_form == ["python3", "-c", PROBE_CODE] for it in probe.all("RUN")
        )
        user = probe.last("USER") if probe else None
        is_same = probe is not None and probe.base == stage.base
        is_first = bool(copies) and copies[0].line < min(it.line.line for it in steps(maker))
        lands = bool(copies) and copies[0].paths[1:] == ["."]
        if not (states and is_same and is_first and lands and user and user.text == "0"):
            yield Finding(
                DOCKERFILE,
                maker.at,
                "It does not learn the base's Python before it chooses wheels.",
                f"COPY {PROBE} from a stage on {stage.base} that writes it there as USER 0.",
            )
        for part in ("models", "indexes"):
            bill = [it for it in maker.all("COPY") if it.source_stage == part]
            if not bill or bill[0].paths != ["/build/out/", f"{part}/"]:
                yield Finding(
                    DOCKERFILE,
                    maker.at,
                    f"The bill of materials is made without the {part}.",
                    f"COPY --from={part} /build/out/ {part}/ before sbom.py.",
                )


def _user(stage: Stage) -> str:
    """What USER comes to with the stage's own arguments; empty without one."""
    user = stage.last("USER")
    arguments = stage.values("ARG")
    return re.sub(r"\$\{(\w+)\}", lambda it: arguments.get(it[1], ""), user.text) if user else ""


def _check_user(stage: Stage) -> Iterator[Finding]:
    user = _user(stage)
    if not re.fullmatch(r"[1-9]\d{2,4}:[1-9]\d{2,4}", user):
        yield Finding(
            DOCKERFILE,
            stage.at,
            f"It runs as {user or 'the user of its base'}; it has to be a number "
            "that is not root's, so that a platform can see that it is not.",
            "Write USER 993:990.",
        )


def _check_labels(project: Project, stage: Stage) -> Iterator[Finding]:
    labels = stage.values("LABEL")
    expected = {**LABELS, f"{OCI}licenses": re.escape(project.licence)}
    if stage.name == "lambda":
        expected |= SNAPSTART
    yield from matching(stage, "LABEL", labels, expected)
    stated = stage.values("ARG")
    if stated.get("VERSION") != project.version:
        yield Finding(
            DOCKERFILE,
            stage.at,
            f"ARG VERSION is {stated.get('VERSION') or 'missing'}, pyproject.toml says "
            f"{project.version}.",
            f"Write ARG VERSION={project.version}.",
        )


def _at(instruction: Instruction, says: str, do: str) -> Finding:
    return Finding(DOCKERFILE, instruction.at, says, do)
