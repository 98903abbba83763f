"""`farthing batch run`, `status` and `resume` as they are typed."""

from __future__ import annotations

import gzip
import json
import math
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from farthing.cli.batch import progress
from farthing.cli.main import main
from tests.batch.chaos import clean_environ, write_rows
from tests.batch.jobs import titles
from tests.batch.metadata import EC2_PATH, Metadata, running

# A bound for a machine that is busy with other things.
ENDED_S = 300
FARTHING = Path(sys.executable).with_name("farthing")
HALFWAY = Path(__file__).with_name("halfway.py")
HEAD = "id\ttitle\n"


class Ended(NamedTuple):
    """How a command ended and what it said."""

    returncode: int
    stdout: str
    stderr: str


class Shop:
    """A folder with a file of titles, and the commands on it.

    They run in this very process, which spares a second each; their workers are processes.
    """

    def __init__(
        self,
        folder: Path,
        models: Path,
        monkeypatch: pytest.MonkeyPatch,
        captured: pytest.CaptureFixture[str],
    ) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._captured = captured
        write_rows(folder / "titles.tsv", titles(), 300)
        settings = {"FARTHING_MODELS": str(models), "XDG_STATE_HOME": str(folder / "state")}
        self.environ = clean_environ(**settings)
        monkeypatch.chdir(folder)
        # However long a busy machine takes, no run tells how far it is on the way.
        monkeypatch.setattr(progress, "LINE_EVERY_S", math.inf)
        for name in {*os.environ} - {*self.environ}:
            monkeypatch.delenv(name)
        for name, value in (settings | {"COLUMNS": "140"}).items():
            monkeypatch.setenv(name, value)

    def arguments(self, *more: str, out: str = "out", file: str = "titles.tsv") -> list[str]:
        return [
            *("batch", "run", file, "--task", "classify", "--id", "id", "--text", "title"),
            *("--out", out, "--format", "jsonl", *more),
        ]

    def run(self, *more: str, out: str = "out", file: str = "titles.tsv") -> Ended:
        return self.call(*self.arguments(*more, out=out, file=file))

    def call(self, *arguments: str) -> Ended:
        """The command as it is typed after `farthing`."""
        self._monkeypatch.setattr("sys.argv", ["farthing", *arguments])
        self._captured.readouterr()
        code: object = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        said = self._captured.readouterr()
        if isinstance(code, str):
            return Ended(1, said.out, f"{said.err}{code}\n")
        return Ended(int(str(code or 0)), said.out, said.err)

    def spawn(self, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """The command in a process of its own."""
        return subprocess.run(
            command,
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            timeout=ENDED_S,
        )

    def rows(self, out: str) -> list[dict[str, Any]]:
        part = self.folder / out / "part-00000.jsonl"
        return [json.loads(line) for line in part.read_bytes().splitlines()]

    def batch(self, *arguments: str) -> Ended:
        return self.call("batch", *arguments)


@pytest.fixture
def shop(
    tmp_path: Path,
    models_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Shop:
    return Shop(tmp_path, models_dir, monkeypatch, capsys)


@pytest.mark.parametrize("name", ["run", "status", "resume"])
def test_help_teaches_every_command(name: str, shop: Shop) -> None:
    done = shop.batch(name, "--help")
    assert done.returncode == 0
    assert "Try:" in done.stdout


def test_a_run_writes_every_row_and_tells_what_it_cost(shop: Shop) -> None:
    done = shop.run("--engine", "local", "--workers", "1")
    assert (done.returncode, done.stderr) == (0, "")
    rows = shop.rows("out")
    assert [row["id"] for row in rows] == [f"r{row}" for row in range(300)]
    assert all(0 < row["score"] <= 1 and row["label"] for row in rows)
    manifest = json.loads((shop.folder / "out" / "manifest.json").read_bytes())
    assert "300 in, 300 out, 0 rejected" in done.stdout
    assert manifest["charge"]["total"] in done.stdout
    assert "simulated" in done.stdout


def test_a_terminal_sees_how_far_it_is_and_a_pipe_does_not(shop: Shop) -> None:
    ours, theirs = pty.openpty()
    heard: list[bytes] = []

    def listen() -> None:
        # The system's word for a terminal whose other end is closed.
        with suppress(OSError):
            while more := os.read(ours, 4096):
                heard.append(more)

    listening = threading.Thread(target=listen)
    listening.start()
    command = [str(FARTHING), *shop.arguments("--shard-rows", "50", "--workers", "1")]
    try:
        done = subprocess.run(
            command,
            env=shop.environ,
            stdout=subprocess.PIPE,
            stderr=theirs,
            check=True,
            timeout=ENDED_S,
        )
    finally:
        os.close(theirs)
        listening.join()
        os.close(ours)
    said = b"".join(heard).decode()
    assert "Scoring rows" in said
    assert "of 300" in said
    assert b"Scoring" not in done.stdout


def test_json_is_the_manifest_and_nothing_else(shop: Shop) -> None:
    done = shop.run("--json", "--shard-rows", "100")
    manifest = json.loads((shop.folder / "out" / "manifest.json").read_bytes())
    assert json.loads(done.stdout) == manifest
    assert len(manifest["shards"]) == 3


def test_what_was_run_is_in_the_users_own_ledger(shop: Shop) -> None:
    begun = datetime.now(UTC).date().isoformat()
    manifest = json.loads(shop.run("--json", "--tenant", "corner-shop").stdout)
    usage = shop.call("bill", "usage", "--tenant", "corner-shop", "--since", begun, "--json")
    assert json.loads(usage.stdout)["total"] == manifest["charge"]["total"]


def test_the_platform_decides_the_price_and_not_the_rows(shop: Shop) -> None:
    charges = {}
    for platform in ("lambda", "fc"):
        done = shop.run("--platform", platform, "--json", out=platform)
        charges[platform] = json.loads(done.stdout)["charge"]
    assert charges["lambda"]["lines"][0]["rule"] != charges["fc"]["lines"][0]["rule"]
    rows = {(shop.folder / name / "part-00000.jsonl").read_bytes() for name in charges}
    assert len(rows) == 1


def test_the_same_command_again_finds_the_job_done(shop: Shop) -> None:
    first = shop.run("--json")
    again = shop.run("--json", "--workers", "2")
    assert again.returncode == 0
    assert again.stdout == first.stdout


def test_rejected_rows_are_told_and_fail_the_run_only_beyond_a_share(shop: Shop) -> None:
    file = shop.folder / "gaps.tsv"
    file.write_text(HEAD + "a\tusb charger\nb\t  \nc\tfridge\nd\tphone\n", encoding="utf-8")
    done = shop.run(file="gaps.tsv")
    assert done.returncode == 0
    assert "1 of 4 rows were rejected" in done.stderr
    (rejected,) = (shop.folder / "out" / "rejected-00000.jsonl").read_text().splitlines()
    assert json.loads(rejected)["id"] == "b"
    assert shop.run("--rejected-max", "0.25", file="gaps.tsv").returncode == 0
    refused = shop.run("--rejected-max", "0.2", file="gaps.tsv")
    assert refused.returncode == 1
    assert "--rejected-max" in refused.stderr


def test_another_jobs_output_is_kept_unless_it_may_be_overwritten(shop: Shop) -> None:
    first = json.loads(shop.run("--json").stdout)
    refused = shop.run("--json", "--top-k", "3")
    assert refused.returncode == 1
    assert "--overwrite" in refused.stderr
    assert json.loads((shop.folder / "out" / "manifest.json").read_bytes()) == first
    replaced = json.loads(shop.run("--json", "--top-k", "3", "--overwrite").stdout)
    assert replaced["job"]["id"] != first["job"]["id"]
    assert all(len(row["labels"]) == 3 for row in shop.rows("out"))


def cut_gzip(file: Path) -> None:
    packed = gzip.compress(b"id\ttitle\n" + b"a\tusb charger\n" * 5_000)
    file.write_bytes(packed[: len(packed) // 2])


BAD_FILES = {
    "empty.tsv": lambda file: file.write_bytes(b""),
    "header-only.tsv": lambda file: file.write_text(HEAD),
    "cut.tsv.gz": cut_gzip,
    "broken.parquet": lambda file: file.write_bytes(b"PAR1 and then nothing of the kind"),
    "columns.tsv": lambda file: file.write_text("id\tname\na\tusb charger\n"),
    "twice.tsv": lambda file: file.write_text("id\ttitle\ttitle\na\tb\tc\n"),
    "utf16.tsv": lambda file: file.write_bytes((HEAD + "a\tb\n").encode("utf-16")),
    "letter.docx": lambda file: file.write_bytes(b"PK"),
    "folder": lambda file: file.mkdir(),
    "open-quote.csv": lambda file: file.write_text('id,title\na,"never closed\n' + "x,y\n" * 9),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_read_is_refused_in_a_sentence(name: str, shop: Shop) -> None:
    BAD_FILES[name](shop.folder / name)
    done = shop.run(file=name)
    assert done.returncode == 1
    assert done.stderr.startswith("farthing: ")
    assert name in done.stderr
    assert not (shop.folder / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--engine", "hadoop"], "local, ray, stepfunctions"),
        (["--task", "translate"], "classify"),
        (["--format", "xml"], "jsonl"),
        (["--model", "gpt"], "product-classifier"),
        (["--top-k", "99"], "99"),
        (["--ledger", "mysql://nowhere"], "no ledger's address"),
        (["--plan", "platinum"], "platinum"),
        (["--out", "ftp://nowhere/out"], "ftp"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_begun(
    arguments: list[str], said: str, shop: Shop
) -> None:
    done = shop.run(*arguments)
    assert done.returncode == 1
    assert said in done.stderr
    assert not (shop.folder / "out").exists()


def test_a_file_that_is_not_there_is_named(shop: Shop) -> None:
    done = shop.run(file="nowhere.tsv")
    assert done.returncode == 1
    assert "nowhere.tsv" in done.stderr


def test_a_full_disk_ends_the_run_in_a_sentence_and_it_goes_on_when_there_is_room(
    shop: Shop,
) -> None:
    write_rows(shop.folder / "many.tsv", titles(), 6_000)
    # No file beyond 390 blocks of 512 bytes.
    nearly_full = ("sh", "-c", 'ulimit -f 390 && exec "$@"', "sh")
    ledger = ("--ledger", "memory:")
    arguments = shop.arguments(*ledger, "--shard-rows", "6000", file="many.tsv")
    full = shop.spawn(*nearly_full, str(FARTHING), *arguments)
    assert full.returncode == 1
    assert "cannot be written" in full.stderr
    assert "Traceback" not in full.stderr
    done = shop.batch("resume", "out", *ledger)
    assert done.returncode == 0, done.stderr
    assert len((shop.folder / "out" / "part-00000.jsonl").read_bytes().splitlines()) == 6_000


def test_sigterm_ends_with_75_and_resume_goes_on(shop: Shop) -> None:
    write_rows(shop.folder / "many.tsv", titles(), 30_000)
    arguments = shop.arguments("--workers", "1", "--shard-rows", "500", file="many.tsv")
    command = [sys.executable, str(HALFWAY), *arguments]
    with subprocess.Popen(command, env=shop.environ, stderr=subprocess.PIPE, text=True) as process:
        while not list((shop.folder / "out" / "_farthing" / "done").glob("*.json")):
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGTERM)
        _, said = process.communicate(timeout=ENDED_S)
    assert process.returncode == 75
    assert "farthing batch resume" in said
    assert "Traceback" not in said

    status = json.loads(shop.batch("status", "out", "--json").stdout)
    assert status["state"] == "unfinished"
    assert status["interruptions"] == 1
    assert status["placement"] == "spot"
    assert 0 < status["shards_done"] < 60
    assert len(status["shards_missing"]) == 60 - status["shards_done"]
    assert "missing" in shop.batch("status", "out").stdout

    done = shop.batch("resume", "out", "--workers", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows_out"] == 30_000
    assert json.loads(shop.batch("status", "out", "--json").stdout)["state"] == "finished"


def test_a_spot_machine_that_is_taken_back_ends_with_75(shop: Shop) -> None:
    write_rows(shop.folder / "many.tsv", titles(), 20_000)
    metadata = Metadata()
    metadata.notices[EC2_PATH] = json.dumps({"action": "stop", "time": "2026-11-22T13:00:00Z"})
    with running(metadata) as url:
        services = {
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": url,
            "ALIBABA_CLOUD_METADATA_ENDPOINT": url,
        }
        arguments = shop.arguments("--spot", "--shard-rows", "500", file="many.tsv")
        done = shop.spawn(sys.executable, str(HALFWAY), *arguments, **services)
    assert done.returncode == 75
    assert "EC2" in done.stderr
    status = json.loads(shop.batch("status", "out", "--json").stdout)
    assert status["interruptions"] == 1
    assert "2026-11-22T13:00:00Z" in status["last_interruption"]


def test_a_job_whose_folder_was_moved_is_resumed_where_it_is(shop: Shop) -> None:
    shop.run("--shard-rows", "100")
    moved = shop.folder / "elsewhere"
    (shop.folder / "out").rename(moved)
    for name in ("manifest.json", "part-00001.jsonl", "_farthing/done/00001.json"):
        (moved / name).unlink()
    done = shop.batch("resume", "elsewhere", "--json")
    assert done.returncode == 0, done.stderr
    assert (moved / "part-00001.jsonl").is_file()
    assert not (shop.folder / "out").exists()


@pytest.mark.parametrize("name", ["status", "resume"])
def test_where_no_job_is_that_is_said(name: str, shop: Shop) -> None:
    done = shop.batch(name, "nothing-here")
    assert done.returncode == 1
    assert "nothing-here" in done.stderr


def test_a_missing_option_is_wrong_usage(shop: Shop) -> None:
    assert shop.batch("run", "titles.tsv", "--task", "classify").returncode == 2
