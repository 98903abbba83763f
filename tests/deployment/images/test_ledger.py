"""Images that keep a ledger: the functions' with its wheels, and the one that settles."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from farthing.ledger.signing import new_secret
from tests.deployment.images.container import engine_says
from tests.deployment.images.test_answers import HTTP_PORT, KNATIVE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.deployment.images.container import Container

    Image = Callable[..., str]
    Start = Callable[..., Container]

LEDGER = "sqlite:////tmp/ledger.db"
ARRIVES_S = 300
TENANTS = f"""
import json
from farthing.billing.stores import open_store
print(json.dumps([it.tenant for it in open_store({LEDGER!r}).entries(0, 2**53)]))
"""


def test_a_function_with_the_ledgers_wheels_keeps_what_it_answered(
    image: Image, start: Start
) -> None:
    container = start(
        image("classify", "http-image", "ledger"),
        environ={**KNATIVE, "FARTHING_LEDGER": LEDGER, "FARTHING_TENANT": "acme"},
    )
    url = f"http://127.0.0.1:{HTTP_PORT}/v1/classify"
    status, answer = container.ask(url, json.dumps({"inputs": "canon eos 2000d body"}))
    assert status == 200, answer
    deadline = time.monotonic() + ARRIVES_S
    while json.loads(container.python(TENANTS)) != ["acme"]:
        assert time.monotonic() < deadline, container.log
        time.sleep(0.5)
    # What the shipped overlay's database needs.
    container.python("import psycopg, sqlalchemy")


def test_the_settling_image_does_the_job_of_the_shipped_cronjob(image: Image, start: Start) -> None:
    environ = {"FARTHING_LEDGER": LEDGER, "FARTHING_SIGNING_KEY": new_secret()}
    container = start(
        image("settle", "http-image"),
        "-m", "farthing.ledger",
        entrypoint="python3", environ=environ, cpus=0.25, memory_mb=512,
    )  # fmt: skip
    assert engine_says("podman", "wait", container.id).strip() == "0", container.log
    assert '"roots"' in container.log
