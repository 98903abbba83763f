"""What `.dockerignore` lets into a build.

https://docs.docker.com/build/concepts/context/#dockerignore-files (2026-10): patterns are relative
to the root, `**` stands for any folders, `!` takes back, and the last pattern that fits decides.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from farthing.deployment.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from farthing.deployment.project import Project

FILE = ".dockerignore"

# Secrets, histories and gigabytes: a checkout has them and a build must never see them.
KEPT_OUT = (
    ".git/config",
    ".env",
    ".venv/bin/python",
    ".venv-forge/bin/python",
    ".cache/bases/base.tar",
    ".aws-sam/build/template.yaml",
    "dist/farthing.zip",
    "samconfig.toml",
    "tests/conftest.py",
    "node_modules/a/index.js",
    "layers/core/python/farthing/__pycache__/money.cpython-313.pyc",
    "functions/classify/__pycache__/app.cpython-313.pyc",
)


class Ignore:
    """The patterns of one file, in order."""

    def __init__(self, text: str) -> None:
        lines = (line.strip() for line in text.splitlines())
        kept = [line for line in lines if line and not line.startswith("#")]
        self._rules = [
            (_expression(line.removeprefix("!").strip("/")), line.startswith("!")) for line in kept
        ]

    def hides(self, path: str) -> bool:
        """Whether the build does not see the file: by itself, or with a folder above it."""
        parts = path.split("/")
        above = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
        hidden = False
        for expression, takes_back in self._rules:
            if any(expression.fullmatch(it) for it in above):
                hidden = not takes_back
        return hidden


def _expression(pattern: str) -> re.Pattern[str]:
    found = ""
    for part in re.split(r"(\*\*/|\*\*|\*|\?)", pattern):
        wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
        found += wild.get(part, re.escape(part))
    return re.compile(found)


def read_ignore(project: Project) -> Ignore:
    """No file hides nothing."""
    file = project.root / FILE
    return Ignore(file.read_text(encoding="utf-8") if file.is_file() else "")


def check_ignore(project: Project, needed: Iterable[str]) -> Iterator[Finding]:
    """`needed` are the files that the Dockerfile's builds read."""
    ignore = read_ignore(project)
    for path in KEPT_OUT:
        if not ignore.hides(path):
            folder = path.split("/")[0] if "__pycache__" not in path else "__pycache__"
            yield Finding(
                FILE,
                "",
                f"A build would be sent {path}, which no image is made of.",
                f"Leave {folder} out, or begin with `*` and take back what is needed.",
            )
    for path in sorted(needed):
        if ignore.hides(path):
            yield Finding(
                FILE,
                "",
                f"{path} is hidden from the build, which copies it.",
                "Take it back with a line that begins with `!`.",
            )
