"""What is paid for whether anybody calls or not: items of a month, priced by the book's rows.

Rounding and minimums are the providers': provisioned concurrency counts from when it is asked for
until it is given up, rounded up to 5 minutes, and a snapshot is kept for 3 hours at least
(https://aws.amazon.com/lambda/pricing).
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from farthing.billing.quantities import MB_PER_GB
from farthing.money import ratio

S_PER_HOUR = 3600
PROVISIONED_STEP_S = 300
SNAPSHOT_MIN_S = 3 * S_PER_HOUR


class Standing(msgspec.Struct, frozen=True):
    """So much of a row's unit in a month.

    `includes` are rules of attempts that were costed as a share of this item already.
    """

    rule: str
    region: str
    quantity: Decimal
    includes: tuple[str, ...] = ()


def provisioned_concurrency(
    arch: str, region: str, memory_mb: int, environments: int, kept_s: int
) -> Standing:
    """Environments of Lambda that are kept ready; `kept_s` is one stretch of time."""
    billed_s = -(-kept_s // PROVISIONED_STEP_S) * PROVISIONED_STEP_S
    gb_s = ratio(memory_mb * environments * billed_s, MB_PER_GB)
    return Standing(f"lambda.provisioned.{arch}", region, gb_s)


def snapshot_cache(region: str, memory_mb: int, kept_s: int) -> Standing:
    """SnapStart's snapshot of one published version."""
    gb_s = ratio(memory_mb * max(kept_s, SNAPSHOT_MIN_S), MB_PER_GB)
    return Standing("lambda.snapstart.cache", region, gb_s)


def managed_instances(node: str, region: str, instance_hours: Decimal) -> tuple[Standing, ...]:
    """Lambda's Managed Instances: the instance and AWS's fee of 15 % on it.

    The attempts' vCPU shares are parts of both.
    """
    return (
        Standing(
            f"lambda.managed_instance.{node}",
            region,
            instance_hours,
            includes=(f"lambda.managed_vcpu.{node}",),
        ),
        Standing(f"lambda.managed_fee.{node}", region, instance_hours),
    )


def cluster_nodes(node: str, region: str, node_hours: Decimal) -> Standing:
    """Whole nodes that nobody else uses, of which Knative's pods were costed their shares."""
    return Standing(
        f"ec2.{node}",
        region,
        node_hours,
        includes=(f"knative.vcpu.{node}", f"knative.memory.{node}"),
    )
