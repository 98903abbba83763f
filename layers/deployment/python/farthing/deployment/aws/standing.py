"""Standing costs: what a profile costs in a month in which nobody calls."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from farthing.deployment.aws.names import FUNCTION

if TYPE_CHECKING:
    from farthing.billing.prices import PriceBook
    from farthing.deployment.aws.stack import Stack

HOURS_PER_MONTH = 730
# One instance in each zone: functions of one capacity provider share them.
INSTANCES_MIN = 3


def standing_usd(stack: Stack, book: PriceBook, region: str) -> Decimal:
    """Provisioned environments and Managed Instances, a month of 730 hours, at list price.

    Raises `PriceMissing` where the book has no price for what stands in that region.
    """
    usd = Decimal(0)
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
