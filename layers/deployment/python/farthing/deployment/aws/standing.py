"""Standing costs: what a profile costs in a month in which nobody calls."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from farthing.deployment.aws.ledger import runs_per_hour
from farthing.deployment.aws.names import FUNCTION, SETTLE, deployed

if TYPE_CHECKING:
    from farthing.billing.prices import PriceBook
    from farthing.deployment.aws.stack import Stack

HOURS_PER_MONTH = 730
# One instance in each zone: functions of one capacity provider share them.
INSTANCES_MIN = 3
# Assumed of a run of settle that finds nothing. Half a second of one CPU for imports and clients is
# measured, which is 1.9 s at 512 MB's 0.29 vCPU; the rest is for AWS's answers. Every run is taken
# to start cold: fifteen minutes after the last one its environment is often gone.
SETTLE_MS = 4_000


def standing_usd(stack: Stack, book: PriceBook, region: str) -> Decimal:
    """Provisioned environments, Managed Instances and settle's runs, at list price.

    A month has 730 hours. Raises `PriceMissing` where the book has no price for what stands in
    that region.
    """
    usd = settling_usd(stack, book, region)
    for function in stack.of(FUNCTION):
        kept = function.get("ProvisionedConcurrencyConfig.ProvisionedConcurrentExecutions")
        if kept:
            rate = book.price("lambda.provisioned.x86_64", region).rate
            gb = Decimal(function.get("MemorySize")) / 1024
            usd += kept * gb * HOURS_PER_MONTH * 3600 * rate
    for provider in stack.of("AWS::Serverless::CapacityProvider"):
        kind = provider.get("InstanceRequirements.AllowedTypes.0")
        for part in ("managed_instance", "managed_fee"):
            usd += (
                INSTANCES_MIN * HOURS_PER_MONTH * book.price(f"lambda.{part}.{kind}", region).rate
            )
    return usd


def settling_usd(stack: Stack, book: PriceBook, region: str) -> Decimal:
    """A month of runs of settle that find nothing, priced as the meter prices any call.

    Raises `PriceMissing` where the book has no price for Lambda in that region.
    """
    function = stack.one(FUNCTION, FunctionName=deployed(SETTLE))
    if function is None:
        return Decimal(0)
    gb = Decimal(function.get("MemorySize")) / 1024
    run_usd = book.price("lambda.requests", region).rate
    run_usd += gb * SETTLE_MS / 1000 * book.price("lambda.duration.x86_64", region).rate
    return runs_per_hour(stack) * HOURS_PER_MONTH * run_usd
