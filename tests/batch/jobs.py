"""Small jobs on real titles, opened by the library."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

from farthing.batch.jobs import JobRequest, Opened, create_job
from farthing.settings import Settings, read_settings
from tests.batch.chaos import write_rows

SAMPLE = Path(__file__).parent.parent / "data" / "pricerunner-sample.tsv.gz"


def titles() -> list[str]:
    """600 offers as shops wrote them."""
    with gzip.open(SAMPLE, "rt", encoding="utf-8", newline="") as lines:
        return [row["title"] for row in csv.DictReader(lines, delimiter="\t")]


def settings_of(models: Path) -> Settings:
    return read_settings({"FARTHING_PLATFORM": "local"}, models=models)


def small_job(
    folder: Path,
    models: Path,
    *,
    rows: int = 1_000,
    shard_rows: int = 100,
    out: str = "out",
    packed: bool = False,
) -> Opened:
    """A job of so many titles, planned and not begun; `packed` with gzip or as they are."""
    file = folder / f"titles-{rows}.tsv"
    if not file.exists():
        write_rows(file, titles(), rows)
    if packed:
        (folder / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes(), mtime=0))
        file = folder / f"{file.name}.gz"
    request = JobRequest(
        uris=(str(file),),
        task="classify",
        model="product-classifier",
        text="title",
        id="id",
        out=str(folder / out),
        shard_rows=shard_rows,
    )
    return create_job(request, settings_of(models))


def parts(opened: Opened) -> bytes:
    """All rows of the output, in order."""
    return b"".join(opened.storage.read(name) for name in opened.storage.names("part-"))
