"""LiteLLM books what our answers say they cost: its client, and its proxy's pass-through.

LiteLLM runs in a process of its own: importing it takes seconds and warns of its own affairs.
"""

from __future__ import annotations

import json
import subprocess
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.functions.server import ROOT

if TYPE_CHECKING:
    from tests.functions.server import Server

# It pins an older openai than the one that our users have.
PYTHON = ROOT / ".venv-litellm" / "bin" / "python"
SCRIPT = """
import json, sys, threading
import httpx
import litellm
# What LiteLLM's proxy reads off the answer of a pass-through endpoint.
from litellm.proxy.pass_through_endpoints.upstream_usage_headers import (
    parse_upstream_reported_usage,
)

booked, told = [], threading.Event()

def book(kwargs, response, started, ended):
    booked.append(kwargs["response_cost"])
    told.set()

litellm.success_callback = [book]
response = litellm.embedding(
    model="openai/all-minilm-l6-v2",
    input=["a red chair", "a blue lamp"],
    api_base=sys.argv[1] + "/v1",
    api_key="unused",
)
told.wait(60)
passed = httpx.post(sys.argv[1] + "/v1/classify", json={"inputs": "usb c charger"}, timeout=60)
read = parse_upstream_reported_usage(passed.headers)
print(json.dumps({
    "booked": booked,
    "cost": response._hidden_params["response_cost"],
    "said": response._hidden_params["additional_headers"]["llm_provider-x-farthing-cost-usd"],
    "tokens": response.usage.total_tokens,
    "vectors": len(response.data),
    "passed": passed.json(),
    "passed_cost": read.response_cost,
    "passed_tokens": read.total_tokens,
}))
"""


@pytest.fixture(scope="module")
def told(local_server: Server) -> Any:
    if not PYTHON.exists():
        pytest.skip("LITELLM IS NOT TESTED: `make litellm` installs it")
    done = subprocess.run(
        [str(PYTHON), "-c", SCRIPT, local_server.url],
        # LiteLLM's own price list, so that it asks nobody for a newer one.
        env={"LITELLM_LOCAL_MODEL_COST_MAP": "True", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_client_books_the_price_that_the_answer_told(told: Any) -> None:
    assert Decimal(str(told["cost"])) == Decimal(told["said"]) > 0
    assert told["booked"] == [told["cost"]]
    assert (told["vectors"], told["tokens"]) == (2, 10)


def test_the_proxy_reads_price_and_tokens_off_a_passed_through_answer(told: Any) -> None:
    charge, usage = told["passed"]["charge"], told["passed"]["usage"]
    assert Decimal(str(told["passed_cost"])) == Decimal(charge["total"]) > 0
    assert told["passed_tokens"] == usage["total_tokens"]
