"""Mistakes by hand in the Dockerfile and `.dockerignore` are found; honest changes are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farthing.deployment.docker import check
from farthing.deployment.docker.ignore import Ignore
from farthing.deployment.project import Project
from tests.functions.server import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DOCKERFILE = "infra/docker/Dockerfile"
IGNORE = ".dockerignore"


@pytest.fixture
def edited(tmp_path: Path) -> Callable[[str, str, str], list[str]]:
    """Findings once a file's text is changed, in a copy of the tree that shares the rest."""
    for name in ("functions", "layers", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "infra" / "docker").mkdir(parents=True)
    for file in (ROOT / "infra" / "docker").iterdir():
        if file.name != "Dockerfile":
            (tmp_path / "infra" / "docker" / file.name).symlink_to(file)

    def edit(name: str, before: str, after: str) -> list[str]:
        for file in (DOCKERFILE, IGNORE):
            text = (ROOT / file).read_text()
            if file == name:
                assert before in text, f"{before!r} is not in {file} any more"
                text = text.replace(before, after)
            (tmp_path / file).write_text(text)
        return [str(finding) for finding in check(Project.read(tmp_path))]

    return edit


def test_what_ships_is_clean() -> None:
    assert not list(check(Project.read(ROOT)))


@pytest.mark.parametrize(
    ("file", "before", "after", "says"),
    [
        (DOCKERFILE, "USER 993:990\nEXPOSE", "USER 0:0\nEXPOSE", "not root's"),
        (DOCKERFILE, "USER 993:990\nEXPOSE", "EXPOSE", "runs as the user of its base"),
        (DOCKERFILE, "ARG RUN_AS=993:990", "ARG RUN_AS=0:0", "not root's"),
        (DOCKERFILE, " AS http\n", " AS https\n", "There is no stage http"),
        (DOCKERFILE, '["python3", "-m", "uvicorn"]', "python3 -m uvicorn", "shell in between"),
        (DOCKERFILE, "functions.this.app.handler", "functions.embed.app.handler", "CMD is"),
        (DOCKERFILE, "functions.${FUNCTION}.app:app", "functions.embed.app:app", "UVICORN_APP"),
        (DOCKERFILE, "UVICORN_PORT=8080", "UVICORN_PORT=80800", "port that platforms wait for"),
        (DOCKERFILE, " --require-hashes", "", "without --require-hashes"),
        (DOCKERFILE, "ARG FUNCTION\n", "ARG FUNCTION=classify\n", "FUNCTION has a default"),
        (DOCKERFILE, "lambda/python:3.13", "lambda/python:latest", "no minor version"),
        (DOCKERFILE, "lambda/python:3.13", "lambda/python:3.12", "different Pythons"),
        (DOCKERFILE, "ARG VERSION=0.1.0", "ARG VERSION=9.9.9", "pyproject.toml says"),
        (DOCKERFILE, 'snapstart="Allow"', 'snapstart="Deny"', "snapstart"),
        (DOCKERFILE, "COPY layers/core/python/requirements.txt layers/core/python/\n", "",
         "without layers/core/python/requirements.txt"),
        (DOCKERFILE, "COPY layers/indexes/ layers/indexes/\n", "", "without layers/indexes"),
        (DOCKERFILE, "assemble.py indexes", "assemble.py index", "is not what indexes should make"),
        (DOCKERFILE, "COPY --from=indexes /build/out/ indexes/\n", "", "without the indexes"),
        (DOCKERFILE, "COPY --from=indexes /build/out/ /opt/indexes/\n", "", "has to come"),
        (DOCKERFILE, "FARTHING_INDEXES=/opt/indexes", "FARTHING_INDEXES=/opt", "FARTHING_INDEXES"),
        (DOCKERFILE, "COPY layers/search/python/requirements.txt layers/search/python/\n", "",
         "without layers/search/python/requirements.txt"),
        (DOCKERFILE, "WORKDIR /var/task", "RUN apt-get install gcc\nWORKDIR /var/task", "apt-get"),
        (DOCKERFILE, "WORKDIR /var/task", "FETCH x\nWORKDIR /var/task", "no instruction FETCH"),
        (IGNORE, "*\n!pyproject", "!pyproject", ".git/config"),
        (IGNORE, "!layers", "!layers/core", "hidden from the build"),
    ],
)  # fmt: skip
def test_a_mistake_is_found(
    file: str, before: str, after: str, says: str, edited: Callable[[str, str, str], list[str]]
) -> None:
    found = edited(file, before, after)
    assert any(says in finding for finding in found), found
    assert all(finding.startswith(file) for finding in found)


def test_a_model_that_changes_later_than_code_is_found(
    edited: Callable[[str, str, str], list[str]],
) -> None:
    model = "COPY --from=models /build/out/ /opt/models/\n"
    code = "COPY --from=code /build/out/ /var/task/\n"
    assert any("comes" in it or "come first" in it for it in edited(DOCKERFILE, model, ""))
    found = edited(DOCKERFILE, code, code + model)
    assert any("what changes seldom has to come first" in it for it in found)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("python:3.13", "python:3.12"),
        ("docker.io/library/python", "registry.example.com/mirror/python"),
        ("993:990", "1000:1000"),
        ("UVICORN_TIMEOUT_KEEP_ALIVE=900", "UVICORN_TIMEOUT_KEEP_ALIVE=600"),
        ("FARTHING_MODELS=/opt/models", "FARTHING_MODELS=/opt/models TZ=UTC FARTHING_TENANT=me"),
        ("WORKDIR /var/task", "COPY --from=code /etc/hosts /opt/hosts\nWORKDIR /var/task"),
        ("# --- AWS Lambda.", "FROM build AS spare\nRUN true\n"),
    ],
)
def test_an_honest_change_is_no_mistake(
    before: str, after: str, edited: Callable[[str, str, str], list[str]]
) -> None:
    assert edited(DOCKERFILE, before, after) == []


def test_the_last_pattern_that_fits_decides_what_a_build_sees() -> None:
    ignore = Ignore("*\n!layers\n**/secret*\nlayers/models/*.bin\n!layers/models/kept.bin\n")
    assert ignore.hides("README.md")
    assert ignore.hides("layers/core/secret.txt")
    assert ignore.hides("layers/models/a.bin")
    assert not ignore.hides("layers/models/kept.bin")
    assert not ignore.hides("layers/core/python/a.py")
