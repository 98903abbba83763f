"""`farthing check`: hold files against what they promise, before a cloud does."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farthing.cli.options import AsJson, require_extra

if TYPE_CHECKING:
    from farthing.deployment.findings import Finding
    from farthing.deployment.idle import Profile

app = typer.Typer(
    help="Hold files against what they promise. Needs the extra deployment.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

NEEDED = ("cfnlint", "jsonschema", "kubernetes_validate", "pydantic", "yaml")


@app.callback()
def _group() -> None:
    """One command so far; the group keeps `check deploy` two words."""


@app.command()
def deploy(
    project: Annotated[Path, typer.Option(help="The checkout to check.")] = Path(),
    lint: Annotated[
        bool, typer.Option(help="Also run cfn-lint and SAM's own translator (some seconds).")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Check that templates, manifests, Dockerfile and tree agree, and what each profile holds.

    Reads template.yaml, samconfig.toml, infra/ and knative/; needs no account and no network.
    The table says for each platform and profile whether it goes to zero, whether it holds 70 %
    CPU, and what it costs while nobody calls. Exit code 0: clean; 1: findings, one per line on
    stderr.
    """
    require_extra("deployment", NEEDED)
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    from farthing.deployment.checks import run_checks
    from farthing.deployment.idle import profiles
    from farthing.deployment.project import Project

    read = Project.read(project)
    found: dict[str, list[Finding]] = {}
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        running = progress.add_task("reading")
        for part, findings in run_checks(read, lint=lint):
            found[part] = findings
            progress.update(running, description=f"{part}: done")
    held = profiles(read)
    if as_json:
        report = {
            "findings": [
                {"part": part, "file": it.file, "at": it.at, "says": it.says, "do": it.do}
                for part, findings in found.items()
                for it in findings
            ],
            "profiles": [profile.as_json() for profile in held],
        }
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    else:
        _print(found, held)
    if any(found.values()):
        raise typer.Exit(1)


def _print(found: dict[str, list[Finding]], held: list[Profile]) -> None:
    from rich.console import Console

    from farthing.cli.tables import names, numbers, table_of

    for findings in found.values():
        for finding in findings:
            sys.stderr.write(f"{finding}\n")
    verdicts = ", ".join(f"{part} {len(findings) or 'clean'}" for part, findings in found.items())
    table = table_of(
        *names("platform", "profile"), "to zero", "70 % CPU", *numbers("idle, USD/month"), "made of"
    )
    for it in held:
        table.add_row(it.cloud, it.name, it.zero, it.cpu, it.usd, it.idle)
    console = Console(highlight=False)
    console.print(f"findings: {verdicts}")
    console.print(table)
    console.print(
        "By calls in flight: 70 % of one a core. Of concurrency: 70 % of what is provisioned.\n"
        "List prices, 730 hours, no free tier; registry, logs and Knative's cluster are extra."
    )
