"""The circuit breaker: stops the inference functions once a minute, or a month, costs too much.

Lambda calls `functions.breaker.app.handler` with a CloudWatch alarm or an SNS message of AWS
Budgets. It may set concurrency on the functions that BREAKER_FUNCTIONS names, and nothing else.
"""

import os
from typing import Any

import boto3

from farthing.billing.breaker import Breaker

breaker = Breaker(
    boto3.client("lambda"),
    functions=os.environ["BREAKER_FUNCTIONS"].split(","),
    alias=os.environ.get("BREAKER_ALIAS"),
)


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    return breaker.handle(event)
