"""Standing costs: what a profile costs in a month in which nobody calls."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from farthing.deployment.aws.names import BATCH, FUNCTION, INDEXER, SETTLE, deployed
from farthing.deployment.aws.scheduled import runs_per_hour

if TYPE_CHECKING:
    from farthing.billing.prices import PriceBook
    from farthing.deployment.aws.stack import Stack

HOURS_PER_MONTH = 730
# One instance in each zone: functions of one capacity provider share them.
INSTANCES_MIN = 3
SCHEDULED = (SETTLE, INDEXER, BATCH)
# Assumed of a run that finds nothing. Half a second of one CPU for settle's imports and clients is
# measured, which is 1.9 s at 512 MB's 0.29 vCPU, about as much for the indexer's with its model at
# 1,024 MB, and less for batch's; the rest is for AWS's answers. Every run is taken to start cold: a
# quarter of an hour after the last one its environment is often gone.
RUN_MS = 4_000
# Assumed of a ping, which finds an environment that is there: a millisecond, less being billed as
# one, and now and then the start of a new one.
PING_MS = 5


def standing_usd(stack: Stack, book: PriceBook, region: str) -> Decimal:
    """Provisioned environments, Managed Instances and scheduled runs, at list price.

    A month has 730 hours. Raises `PriceMissing` where the book has no price for what stands in
    that region.
    """
    usd = Decimal(0)
    for function in stack.of(FUNCTION):
        name = str(function.get("FunctionName")).removeprefix(deployed(""))
        usd += runs_usd(stack, name, book, region)
        kept = function.get("ProvisionedConcurrencyConfig.ProvisionedConcurrentExecutions")
        if kept:
            rate = book.price("lambda.provisioned.x86_64", region).rate
            gb = Decimal(function.get("MemorySize")) / 1024
            usd += int(kept) * gb * HOURS_PER_MONTH * 3600 * rate
    for provider in stack.of("AWS::Serverless::CapacityProvider"):
        kind = provider.get("InstanceRequirements.AllowedTypes.0")
        for part in ("managed_instance", "managed_fee"):
            usd += (
                INSTANCES_MIN * HOURS_PER_MONTH * book.price(f"lambda.{part}.{kind}", region).rate
            )
    return usd


def runs_usd(stack: Stack, name: str, book: PriceBook, region: str) -> Decimal:
    """A month of a function's scheduled runs that find nothing, or of its pings, at list price.

    Raises `PriceMissing` where the book has no price for Lambda in that region.
    """
    function = stack.function(name)
    if function is None:
        return Decimal(0)
    gb = Decimal(function.get("MemorySize")) / 1024
    run_usd = book.price("lambda.requests", region).rate
    run_ms = RUN_MS if name in SCHEDULED else PING_MS
    run_usd += gb * run_ms / 1000 * book.price("lambda.duration.x86_64", region).rate
    return runs_per_hour(stack, name) * HOURS_PER_MONTH * run_usd
