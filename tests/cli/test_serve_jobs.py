"""`farthing serve` computes what may wait, and what it had not computed when it was killed."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.functions.server import farthing, run_to_end

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.functions.server import Server

    Serve = Callable[..., Server]

TITLES = ["bosch series 4 fridge freezer 186cm", "canon eos 2000d kit"]
COMMAND = farthing("serve", "--port", "{port}")
ENDED_S = 120
# Uvicorn ends what it does, and then dies of the signal that it got.
STOPPED = -signal.SIGTERM


def ended(server: Server, job_id: str) -> dict[str, Any]:
    """The job, once it waits no more."""
    deadline = time.monotonic() + ENDED_S
    while time.monotonic() < deadline:
        job: dict[str, Any] = server.client.get(f"/v1/jobs/{job_id}").json()
        if job["status"] != "queued":
            return job
        time.sleep(0.05)
    raise AssertionError(f"The job still waits; the server said:\n{server.output}")


def submit(server: Server, title: str, **more: Any) -> dict[str, Any]:
    answer = server.client.post("/v1/classify", json={"inputs": title, "priority": "low", **more})
    assert answer.status_code == 202, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_a_low_priority_request_is_computed_out_of_the_box_and_billed_lower(serve: Serve) -> None:
    server = serve(COMMAND)
    at_once = server.client.post("/v1/classify", json={"inputs": TITLES[0]}).json()
    told = submit(server, TITLES[0])
    assert Decimal(told["charge"]["total"]) < Decimal(at_once["charge"]["total"])
    job = ended(server, told["id"])
    assert job["status"] == "succeeded"
    assert job["response"]["results"] == at_once["results"]
    assert Decimal(job["charge"]["total"]) <= Decimal(told["charge"]["total"])
    assert server.terminate() == STOPPED
    assert "Traceback" not in server.output


def test_a_server_that_is_killed_computes_what_waits_when_it_is_back(
    serve: Serve, tmp_path: Path
) -> None:
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    first = serve(COMMAND, state)
    box = tmp_path / "state" / "farthing" / "jobs" / "in"
    told: list[dict[str, Any]] = []
    while not list(box.glob("*")):
        os.kill(first.process.pid, signal.SIGCONT)
        # Many texts each, so that some of the jobs still wait when the process is stopped.
        for number in range(12):
            told.append(submit(first, [f"{title} {number}" for title in TITLES * 200]))
        os.kill(first.process.pid, signal.SIGSTOP)
        os.waitpid(first.process.pid, os.WUNTRACED)
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()
    assert list(box.iterdir())
    second = serve(COMMAND, state)
    jobs = [ended(second, one["id"]) for one in told]
    assert {job["status"] for job in jobs} == {"succeeded"}
    assert second.terminate() == STOPPED
    ledger = tmp_path / "state" / "farthing" / "ledger.db"
    with sqlite3.connect(ledger) as database:
        rows = database.execute("SELECT writer FROM entries WHERE tenant = 'local'").fetchall()
    database.close()
    assert sorted(writer for (writer,) in rows) == sorted(f"job-{one['id']}" for one in told)
    shown = run_to_end(farthing("bill", "invoice", "--tenant", "local", "--json"), state)
    invoice = json.loads(shown.stdout)
    assert Decimal(invoice["total"]) == sum(Decimal(job["charge"]["total"]) for job in jobs)
    assert "plan.low_priority" in {line["rule"] for line in invoice["lines"]}


@pytest.mark.parametrize(
    ("variable", "value"),
    [("FARTHING_JOBS", "gopher://jobs"), ("FARTHING_WEBHOOK_SECRET", "whsec_short")],
)
def test_a_setting_that_cannot_be_meant_is_refused_in_a_sentence(
    models_dir: Path, tmp_path: Path, variable: str, value: str
) -> None:
    environ = {
        "FARTHING_MODELS": str(models_dir),
        "XDG_STATE_HOME": str(tmp_path),
        variable: value,
    }
    done = run_to_end(farthing("serve", "--port", "0"), environ)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 4
