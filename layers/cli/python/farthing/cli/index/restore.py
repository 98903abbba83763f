"""`farthing index archive` and `restore`: versions put away for little, and brought back."""

from __future__ import annotations

import sys
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from farthing.cli.index.options import Index, write_facts, write_json
from farthing.cli.options import AsJson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.search.archive import Restoration
    from farthing.search.manifest import IndexManifest

ASK_EVERY_S = 300.0


class Speed(StrEnum):
    STANDARD = "standard"
    BULK = "bulk"


def archive(index: Index, as_json: AsJson = False) -> None:
    """Copy an index's current version into its bucket's archive, to keep it for little.

    The archive is S3 Glacier Deep Archive, or OSS Cold Archive. Files that are there already are
    not copied again. The bucket's own rules may move the prefix archive/ instead.

    Try: [b]farthing index archive s3://my-bucket/shop[/b]
    """
    from farthing.search.archive import put_away
    from farthing.storage import open_storage

    done = put_away(open_storage(index))
    if as_json:
        write_json(done._asdict())
    else:
        write_facts(f"Put version {done.version} away", {"files": done.files, "new": done.copied})


def restore(
    index: Index,
    version: Annotated[
        int | None,
        typer.Option(min=1, help=r"Version to restore. \[default: list them]", show_default=False),
    ] = None,
    speed: Annotated[
        Speed, typer.Option(help="How fast what is archived comes back; bulk costs least.")
    ] = Speed.BULK,
    days: Annotated[
        int, typer.Option(min=1, max=30, help="Days that restored files stay readable.")
    ] = 7,
    wait: Annotated[
        bool, typer.Option("--wait", help="Ask again every 5 minutes until it is published.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring an earlier version's documents back, as the next version.

    What lies in the archive is asked for, which takes hours (S3: 12, or 48 in bulk). Run it again
    to see how far it is: once all is readable, it is published. Versions that are still there are
    published at once.

    Try: [b]farthing index restore s3://my-bucket/shop --version 7 --wait[/b]
    """
    from farthing.search.archive import restore as restore_version
    from farthing.search.archive import versions
    from farthing.storage import open_storage

    storage = open_storage(index)
    if version is None:
        _list(versions(storage), as_json=as_json)
        return
    while True:
        came = restore_version(storage, version, speed=speed.value, days=days)
        if came.published or not wait:
            break
        sys.stderr.write(f"{came.asked + came.coming} files are on their way\n")
        time.sleep(ASK_EVERY_S)
    _tell(came, as_json=as_json)


def _tell(came: Restoration, *, as_json: bool) -> None:
    published = came.published.version if came.published else None
    counts = {"readable": came.readable, "asked": came.asked, "coming": came.coming}
    if as_json:
        write_json({"version": came.version, **counts, "published": published})
    elif published:
        write_facts(f"Version {came.version} is back, as version {published}", {})
    else:
        write_facts(
            f"Version {came.version} is on its way; it takes {came.waits}",
            {
                "files that can be read": came.readable,
                "asked for now": came.asked,
                "asked for before": came.coming,
            },
        )


def _list(manifests: Sequence[IndexManifest], *, as_json: bool) -> None:
    if as_json:
        write_json(
            [
                {
                    "version": each.version,
                    "created_at": each.created_at,
                    "documents": each.documents,
                    "bytes": sum(entry.bytes for entry in each.segments),
                }
                for each in manifests
            ]
        )
        return
    facts: dict[str, object] = {
        f"version {each.version}": f"{each.created_at}, {each.documents:,} documents"
        for each in manifests
    }
    write_facts("Versions that can be restored", facts or {"none": "archive one first"})
