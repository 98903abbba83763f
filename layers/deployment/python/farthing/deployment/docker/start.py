"""How a shipped image starts: its command, its environment, its server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from farthing.deployment.docker.builders import image_functions
from farthing.deployment.docker.dockerfile import DOCKERFILE, Stage
from farthing.deployment.findings import Finding
from farthing.settings import PREFIX, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.project import Project

HANDLER = "functions.this.app.handler"
APP = "functions.${FUNCTION}.app:app"
# Both platforms that run it wait for this port unless they are told another.
PORT = 8080
KEEP_ALIVE_S_MIN = 60
DRAIN_SPARE_S = 30

IN_PYTHON = {
    "PYTHONPATH": r"/var/task:/opt/python",
    "PYTHONDONTWRITEBYTECODE": r"1",
    "PYTHONUNBUFFERED": r"1",
    "FARTHING_MODELS": r"/opt/models",
    "FARTHING_INDEXES": r"/opt/indexes",
}
# https://www.uvicorn.org/settings/ (0.54): an option is read from UVICORN_ and its name.
IN_UVICORN = {
    "UVICORN_APP": re.escape(APP),
    "UVICORN_HOST": r"0\.0\.0\.0",
    "UVICORN_LIFESPAN": r"on",
    # Bounds slow clients and floods, and refuses early what cannot be answered.
    "UVICORN_HTTP": r"farthing\.serving\.connections:Connection",
    "UVICORN_LOG_LEVEL": r"critical|error|warning|info",
    "UVICORN_ACCESS_LOG": r"false|true",
    "UVICORN_SERVER_HEADER": r"false|true",
}
SERVER = ("UVICORN_PORT", "UVICORN_TIMEOUT_KEEP_ALIVE", "UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN")


def check_start(project: Project, stage: Stage, module: str) -> Iterator[Finding]:
    entry, command = stage.last("ENTRYPOINT"), stage.last("CMD")
    expected = ["python3", "-m", module]
    if entry is None or entry.exec_form != expected:
        yield Finding(
            DOCKERFILE,
            stage.at,
            f"Its ENTRYPOINT is {entry.text if entry else 'missing'}: a shell in between would "
            "not pass signals on, and the base has none.",
            f"Write ENTRYPOINT {expected}.".replace("'", '"'),
        )
    words = command.exec_form if command else None
    if words != ([HANDLER] if stage.name == "lambda" else None) or (command and words is None):
        yield Finding(
            DOCKERFILE,
            stage.at,
            f"Its CMD is {command.text if command else 'missing'}.",
            f'Write CMD ["{HANDLER}"], which is any function\'s.'
            if stage.name == "lambda"
            else "Leave it out: the function is in UVICORN_APP.",
        )
    folder = stage.last("WORKDIR")
    if folder is None or folder.text != "/var/task":
        yield Finding(
            DOCKERFILE, stage.at, "It does not start where its code is.", "WORKDIR /var/task."
        )
    environ = stage.values("ENV")
    yield from matching(stage, "ENV", environ, IN_PYTHON)
    if stage.name == "http":
        yield from matching(stage, "ENV", environ, IN_UVICORN)
        yield from _check_server(project, stage, environ)
    settings = {f"{PREFIX}{name.upper()}" for name in Settings.__struct_fields__}
    for name in sorted(environ.keys() - settings):
        if name.startswith(PREFIX):
            yield Finding(
                DOCKERFILE, stage.at, f"ENV {name} is no setting.", "Correct or remove it."
            )


def _check_server(project: Project, stage: Stage, environ: dict[str, str]) -> Iterator[Finding]:
    served = [project.functions[it] for it in image_functions(project, "http")]
    longest_s = max((it.timeout_s for it in served if it.serves), default=0)
    bounds = {
        SERVER[0]: (PORT, PORT, "the port that platforms wait for"),
        SERVER[1]: (KEEP_ALIVE_S_MIN, 86_400, "longer than a proxy keeps a connection"),
        SERVER[2]: (longest_s, longest_s + DRAIN_SPARE_S, "as long as the longest call"),
    }
    for name, (least, most, why) in bounds.items():
        text = environ.get(name, "")
        if not text.isdecimal() or not least <= int(text) <= most:
            yield Finding(
                DOCKERFILE,
                stage.at,
                f"ENV {name} is {text or 'missing'}; it has to be {why}.",
                f"Set it to {least}." if least == most else f"Set it from {least} to {most}.",
            )
    exposed = stage.last("EXPOSE")
    if exposed is None or exposed.text != environ.get(SERVER[0]):
        yield Finding(
            DOCKERFILE, stage.at, "EXPOSE is not the port it listens on.", f"EXPOSE {PORT}."
        )


def matching(
    stage: Stage, keyword: str, found: dict[str, str], expected: dict[str, str]
) -> Iterator[Finding]:
    for name, pattern in expected.items():
        if not re.fullmatch(pattern, found.get(name, "")):
            yield Finding(
                DOCKERFILE,
                stage.at,
                f"{keyword} {name} is {found.get(name) or 'missing'}.",
                f"Set it to {pattern.replace(chr(92), '')}.",
            )
