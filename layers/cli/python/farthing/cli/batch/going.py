"""What `run` and `resume` share: options, and going on with a job to its end."""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from farthing.cli.batch.progress import progress, tell
from farthing.cli.options import local_settings, open_ledger, require_extra

if TYPE_CHECKING:
    from collections.abc import Callable

    from farthing.batch.jobs import Opened
    from farthing.batch.manifest import Manifest
    from farthing.cli.batch.progress import Progress
    from farthing.cli.options import PricedAs
    from farthing.settings import Settings

# EX_TEMPFAIL of sysexits.h: what was begun can be gone on with.
INTERRUPTED = 75
HOW = "How it runs"
NEEDED = ("fsspec", "onnxruntime", "pyarrow", "rich")

EngineName = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="ENGINE",
        rich_help_panel=HOW,
        help="Where shards are scored: local (processes of this machine), ray (RAY_ADDRESS, else a "
        "Ray of this machine) or stepfunctions.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        rich_help_panel=HOW,
        show_default=False,
        help=r"Shards scored at once, a core each. \[default: cores]",
    ),
]
Spot = Annotated[
    bool,
    typer.Option(
        "--spot",
        rich_help_panel=HOW,
        help="Ask the machine every 5 s whether it is being taken back, and stop in time.",
    ),
]
RejectedMax = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=1.0,
        metavar="SHARE",
        rich_help_panel=HOW,
        show_default=False,
        help="End with exit code 1 where a larger share of the rows was rejected, 0 to 1.",
    ),
]
Out = Annotated[
    str,
    typer.Option(
        metavar="DIR", help="Where the output goes: a folder, s3://BUCKET/PREFIX or oss://…."
    ),
]


class Way(NamedTuple):
    """How a job is to be run."""

    engine: str
    workers: int | None
    spot: bool
    rejected_max: float | None
    ledger: str | None
    as_json: bool


def settings_of(
    platform: PricedAs, models: Path | None, memory_mb: int | None, vcpu_milli: int | None
) -> Settings:
    """The settings of a run on this machine, priced as if it were on `platform`."""
    require_extra("batch", NEEDED)
    return local_settings(
        platform=platform.value, models=models, memory_mb=memory_mb, vcpu_milli=vcpu_milli
    )


def place_of(address: str) -> str:
    """The address from wherever it is read: a folder's path from the root on."""
    from farthing.storage import local_folder

    folder = local_folder(address)
    return address if folder is None else str(folder.absolute())


def go_on(open_it: Callable[[Progress], Opened], settings: Settings, way: Way) -> None:
    """Opens a job, runs it to its end and tells of it.

    Exits with 75 where it is interrupted, with 1 where too many rows were rejected.
    """
    from farthing.batch.engines import get_engine
    from farthing.batch.errors import Interrupted
    from farthing.batch.interruption import Stop, signals, spot_notices
    from farthing.batch.running import run_job

    # What names no engine is refused before a file is looked through.
    options = {"workers": way.workers} if way.workers else {}
    engine = get_engine(way.engine, settings, **options)
    with ExitStack() as stack:
        ledger = stack.enter_context(closing(open_ledger(way.ledger, must_exist=False)))
        shown = stack.enter_context(progress())
        opened = open_it(shown)
        stop = Stop()
        stack.enter_context(signals(stop))
        if way.spot:
            stack.enter_context(spot_notices(stop))
        try:
            manifest = run_job(opened, engine, settings, shown.report, stop, ledger)
        except Interrupted as error:
            tell(f"farthing: {error}")
            raise typer.Exit(INTERRUPTED) from None
    _tell_of(manifest, opened, as_json=way.as_json)
    _refuse_rejected(manifest, way.rejected_max)


def _tell_of(manifest: Manifest, opened: Opened, *, as_json: bool) -> None:
    if as_json:
        import msgspec

        sys.stdout.write(msgspec.json.format(msgspec.json.encode(manifest), indent=2).decode())
        sys.stdout.write("\n")
    else:
        from farthing.cli.batch.showing import show_manifest

        show_manifest(manifest, opened.storage.url)
    if manifest.rows_rejected:
        tell(
            f"{manifest.rows_rejected:,} of {manifest.rows_in:,} rows were rejected; "
            f"{opened.storage.url}/rejected-*.jsonl says which and why."
        )


def _refuse_rejected(manifest: Manifest, rejected_max: float | None) -> None:
    if rejected_max is not None and manifest.rows_rejected > rejected_max * manifest.rows_in:
        tell(
            f"farthing: More than {rejected_max:.2%} of the rows were rejected, which is what "
            "--rejected-max allows. The output is whole all the same."
        )
        raise typer.Exit(1)
