"""What keys and budgets add to a cold start: with a ledger in DynamoDB, and without any."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import boto3
import httpx
import msgspec

from farthing.billing.stores import open_store
from farthing.billing.tenants import PICO_PER_USD, Budget, Tenant
from farthing.serving.keys import KeyRing, new_claims, new_entry
from tests.bench.cold import MS_PER_S, script
from tests.bench.results import compared, p50
from tests.bench.samples import TITLES, embeddings_body, http_api_event
from tests.bench.surroundings import LAMBDA, PYTHON, ROOT, environ, environment
from tests.functions.server import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.bench.results import Result

RATIO_MAX = 1.03
TABLE = "farthing"
ACCESS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
TENANTS = ("default", "shop")
START_S = 30


def run(rounds: int) -> list[Result]:
    """Medians of starts by turns; the table is moto's, on loopback, and its own time is shown."""
    entry = new_entry()
    key = KeyRing([entry]).sign(new_claims("shop", 3600))
    by_keys = {"FARTHING_ACCESS": "keys", "FARTHING_KEYS": entry}
    with _table() as ledger:
        budgets = {"FARTHING_LEDGER": ledger, **ACCESS}
        contestants: dict[str, Mapping[str, str]] = {
            "neither": {},
            "keys": by_keys,
            "budgets": budgets,
            "keys and budgets": {**by_keys, **budgets},
        }
        taken_ms = _interleaved(contestants, key, rounds * 3)
        trip_ms = _round_trip_ms(ledger)
    bare_ms = p50(taken_ms.pop("neither"))
    return [
        compared(
            f"start to answer with {name}, against without",
            p50(samples),
            bare_ms,
            "ms",
            f"≤ {RATIO_MAX} × peer",
            p50(samples) <= RATIO_MAX * bare_ms,
        )
        for name, samples in taken_ms.items()
    ] + [compared("of that, one lease's round trip to the table", trip_ms, bare_ms, "ms")]


def _interleaved(
    contestants: Mapping[str, Mapping[str, str]], key: str, rounds: int
) -> dict[str, list[float]]:
    event = http_api_event("/v1/embeddings", embeddings_body(TITLES[0]))
    event["headers"]["authorization"] = f"Bearer {key}"
    command = script(PYTHON, "cold_farthing", msgspec.json.encode(event).decode())
    taken_ms: dict[str, list[float]] = {name: [] for name in contestants}
    for start in range(rounds + 1):
        for name, more in contestants.items():
            began_s = time.clock_gettime(time.CLOCK_MONOTONIC)
            done = subprocess.run(
                command, cwd=ROOT, env=environment(LAMBDA, **more), capture_output=True, check=True
            )
            marks = msgspec.json.decode(done.stdout.splitlines()[-1], type=dict[str, float])
            if start:
                taken_ms[name].append((marks["answer"] - began_s) * MS_PER_S)
    return taken_ms


@contextmanager
def _table() -> Iterator[str]:
    """The address of a ledger in a table that knows the tenants and their budgets."""
    port = free_port()
    command = [sys.executable, "-P", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    endpoint = f"http://127.0.0.1:{port}"
    try:
        _wait(endpoint)
        keys = [("pk", "HASH"), ("sk", "RANGE")]
        boto3.client(
            "dynamodb",
            region_name=LAMBDA["AWS_REGION"],
            endpoint_url=endpoint,
            aws_access_key_id="bench",
            aws_secret_access_key="bench",
        ).create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys],
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": "S"} for name, _ in keys
            ],
        )
        address = f"dynamodb://{TABLE}?region={LAMBDA['AWS_REGION']}&endpoint={endpoint}"
        with environ(ACCESS):
            store = open_store(address)
        budget = Budget("month", PICO_PER_USD)
        for name in TENANTS:
            store.put_tenant(Tenant(name=name, budgets=(budget,)))
        yield address
    finally:
        server.terminate()
        server.wait()


def _wait(endpoint: str) -> None:
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s:
        try:
            httpx.get(f"{endpoint}/moto-api/")
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("moto's server did not start")


def _round_trip_ms(ledger: str) -> float:
    with environ(ACCESS):
        store = open_store(ledger)
    taken_ms = []
    for number in range(30):
        began_s = time.perf_counter()
        store.lease(
            "shop",
            lease_id=f"trip-{number}",
            want_pico=1,
            least_pico=1,
            now_ms=time.time_ns() // 1_000_000,
            ttl_ms=60_000,
        )
        taken_ms.append((time.perf_counter() - began_s) * MS_PER_S)
    return p50(taken_ms)
