"""`farthing index tier`, `archive` and `restore`, on a folder and on S3's stand-in."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

from farthing.cli.index import restore, tier
from farthing.errors import FarthingError, SettingsError
from farthing.search.errors import CatalogueInvalid
from farthing.search.hits import read_hits
from farthing.storage import LocalStorage, open_storage
from tests.search.buckets import new_bucket, s3_running
from tests.search.shelves import publish_index

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHAIRS = {f"c{number}": f"bosch chair number {number}" for number in range(5)}
LAMPS = {f"l{number}": f"miele lamp number {number}" for number in range(5)}

app = typer.Typer()
for command in (tier.tier, restore.archive, restore.restore):
    app.command()(command)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_running() as address:
        yield address


def told(*arguments: str) -> Any:
    """What the command says to machines. Raises what it raises."""
    done = CliRunner().invoke(app, [*arguments, "--json"])
    if isinstance(done.exception, FarthingError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_what_was_found_is_made_hot(tmp_path: Path) -> None:
    publish_index(LocalStorage(tmp_path / "shop"), CHAIRS, LAMPS)
    (tmp_path / "hits.tsv").write_text("l1\t3\nc2\t1\nl1\n\n", encoding="utf-8")
    arguments = ["tier", str(tmp_path / "shop"), "--hits", str(tmp_path / "hits.tsv")]
    said = told(*arguments, "--hot-segments", "1")
    assert (said["hot_segments"], said["hot_documents"], said["cold_documents"]) == (1, 5, 5)
    said = told(*arguments, "--hot-mb", "1", "--regroup")
    assert (said["hot_documents"], said["cold_documents"], said["version"]) == (2, 8, 3)
    shown = CliRunner().invoke(app, [*arguments, "--hot-mb", "1"])
    assert "hot documents" in shown.stdout


def test_tier_without_what_it_needs_says_so(tmp_path: Path) -> None:
    publish_index(LocalStorage(tmp_path), CHAIRS)
    with pytest.raises(SettingsError, match="Nothing says how much is to be hot"):
        told("tier", str(tmp_path))
    with pytest.raises(SettingsError, match="--regroup needs to know"):
        told("tier", str(tmp_path), "--hot-mb", "1", "--regroup")
    with pytest.raises(SettingsError, match="which has no archive"):
        told("tier", str(tmp_path), "--hot-mb", "1", "--cold-mb", "0")


def test_a_version_is_archived_listed_and_restored(endpoint: str) -> None:
    address = new_bucket(endpoint)
    publish_index(open_storage(address), CHAIRS)
    said = told("archive", address)
    assert said["version"] == 1
    assert said["copied"] == said["files"] > 3
    publish_index(open_storage(address), LAMPS)
    assert [each["version"] for each in told("restore", address)] == [1]
    said = told("restore", address, "--version", "1", "--speed", "standard")
    assert (said["published"], said["asked"]) == (3, 0)
    done = CliRunner().invoke(app, ["restore", address, "--version", "1"])
    assert "Version 1 is back" in done.stdout
    assert "version 1" in CliRunner().invoke(app, ["restore", address]).stdout


def test_hits_are_read_from_json_lines_tsv_and_bare_ids(tmp_path: Path) -> None:
    text = '{"id": "a", "hits": 3}\n{"id": "b"}\r\na\t4\nc d\n'
    file = tmp_path / "hits.jsonl.gz"
    file.write_bytes(gzip.compress(text.encode()))
    assert read_hits(file) == {"a": 7, "b": 1, "c d": 1}


@pytest.mark.parametrize(
    "line", ["a\tmany", "a\t-1", '{"id": 3}', '{"hits": 3}', "{", '{"id": "a", "hits": 1.5}']
)
def test_a_line_that_is_no_hit_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "hits.tsv"
    file.write_text(f"a\t1\n{line}\n", encoding="utf-8")
    with pytest.raises(CatalogueInvalid, match=r"Line 2 of .* is no id with its hits"):
        read_hits(file)


@pytest.mark.parametrize("content", [b"\xff\xfe", gzip.compress(b"a\t1\n" * 1000)[:40]])
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / ("hits.gz" if content[:2] == b"\x1f\x8b" else "hits.tsv")
    file.write_bytes(content)
    with pytest.raises(CatalogueInvalid, match="cannot be read as lines of text"):
        read_hits(file)
