"""All checks of a project's deployment files, by the part of the project that they read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.deployment import alibaba, aws, docker, knative, tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farthing.deployment.findings import Finding
    from farthing.deployment.project import Project

# Rules of our own: fast, and about what a schema cannot know.
RULES: dict[str, Callable[[Project], Iterator[Finding]]] = {
    "tree": tree.check,
    "images": docker.check,
    "aws": aws.check,
    "alibaba": alibaba.check,
    "knative": knative.check,
}
# Other people's: slower, and surer about what the services accept.
LINTS: dict[str, Callable[[Project], Iterator[Finding]]] = {"aws, linted": aws.lint}


def run_checks(project: Project, *, lint: bool) -> Iterator[tuple[str, list[Finding]]]:
    """Each part with what was found in it, sorted; a part is run when its turn comes."""
    for part, check in {**RULES, **(LINTS if lint else {})}.items():
        yield part, sorted(set(check(project)))
