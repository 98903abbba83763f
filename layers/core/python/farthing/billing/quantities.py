"""What a provider's rule multiplies by its rates: whole numbers, of one attempt or of a month's.

Every cost is linear in them, so the cost of a sum is the sum of the costs, to the last digit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from farthing.usage import NS_PER_MS, Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from farthing.billing.tariff import Tariff

FREE_DISK_MB = 512
NS_PER_S = 1_000_000_000
MB_PER_GB = 1024
VCPU_MILLI_NS_PER_VCPU_S = 1000 * NS_PER_S
MB_NS_PER_GB_S = MB_PER_GB * NS_PER_S


class Quantities(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes times billed nanoseconds; `disk_mb_ns` is beyond what an instance has for nothing.

    `vcpu_idle_milli_ns` is CPU of an instance that is kept though nobody is served.
    """

    requests: int = 0
    vcpu_milli_ns: int = 0
    vcpu_idle_milli_ns: int = 0
    memory_mb_ns: int = 0
    disk_mb_ns: int = 0
    restored_mb: int = 0

    def plus(self, other: Quantities) -> Quantities:
        return Quantities(
            requests=self.requests + other.requests,
            vcpu_milli_ns=self.vcpu_milli_ns + other.vcpu_milli_ns,
            vcpu_idle_milli_ns=self.vcpu_idle_milli_ns + other.vcpu_idle_milli_ns,
            memory_mb_ns=self.memory_mb_ns + other.memory_mb_ns,
            disk_mb_ns=self.disk_mb_ns + other.disk_mb_ns,
            restored_mb=self.restored_mb + other.restored_mb,
        )

    def times(self, count: int) -> Quantities:
        """The quantities of so many equal attempts."""
        return Quantities(
            **{field: getattr(self, field) * count for field in self.__struct_fields__}
        )


NOTHING = Quantities()


def billed_ms(tariff: Tariff, usage: Usage) -> int:
    """The whole milliseconds of an attempt.

    Lambda bills its runtime with it, and its init, on demand; otherwise init is part of what
    stands ready.
    """
    has_init = tariff.platform == "lambda" and tariff.initialization == "on-demand"
    init_ns = usage.init_ns if has_init else 0
    return -(-(usage.busy_ns + init_ns + tariff.overhead_ns) // NS_PER_MS)


def counter_of(tariff: Tariff) -> Callable[[Usage], Quantities]:
    """How an attempt is counted under this tariff.

    Lambda rounds up to whole milliseconds, Function Compute too where an instance takes one call
    at a time; the shares of an instance that several calls share are left as they are.
    """
    if tariff.platform == "knative":
        return lambda usage: _held(usage, usage.busy_ns)
    if tariff.platform == "fc":
        return _fc(tariff)
    if tariff.initialization == "lambda-managed-instances":
        return lambda usage: Quantities(requests=1, vcpu_milli_ns=usage.busy_ns * usage.vcpu_milli)
    return _lambda(tariff)


def count_idle(tariff: Tariff, usage: Usage) -> Quantities:
    """What an instance costs for `busy_ns` nanoseconds in which nobody was served.

    Knative's pods and Managed Instances hold what they hold. Function Compute bills memory and
    disk of a minimum instance, whose tariff says `provisioned-concurrency`; its other instances,
    and Lambda's environments, are frozen between calls and cost nothing.
    """
    if tariff.platform == "knative":
        return _held(usage, usage.busy_ns)
    if tariff.initialization == "lambda-managed-instances":
        return Quantities(vcpu_milli_ns=usage.busy_ns * usage.vcpu_milli)
    if tariff.platform == "fc" and tariff.initialization == "provisioned-concurrency":
        return Quantities(
            vcpu_idle_milli_ns=usage.busy_ns * usage.vcpu_milli,
            memory_mb_ns=usage.busy_ns * usage.memory_mb,
            disk_mb_ns=usage.busy_ns * _extra_mb(usage),
        )
    return NOTHING


def _lambda(tariff: Tariff) -> Callable[[Usage], Quantities]:
    is_restored = tariff.initialization == "snap-start"

    def count(usage: Usage) -> Quantities:
        billed_ns = billed_ms(tariff, usage) * NS_PER_MS
        return Quantities(
            requests=1,
            memory_mb_ns=billed_ns * usage.memory_mb,
            disk_mb_ns=billed_ns * _extra_mb(usage),
            restored_mb=usage.memory_mb if is_restored and usage.restored else 0,
        )

    return count


def _fc(tariff: Tariff) -> Callable[[Usage], Quantities]:
    def count(usage: Usage) -> Quantities:
        billed_ns = billed_ms(tariff, usage) * NS_PER_MS if tariff.singly else usage.busy_ns
        return Quantities(
            requests=1,
            vcpu_milli_ns=billed_ns * usage.vcpu_milli,
            memory_mb_ns=billed_ns * usage.memory_mb,
            disk_mb_ns=billed_ns * _extra_mb(usage),
        )

    return count


def _held(usage: Usage, held_ns: int) -> Quantities:
    return Quantities(
        vcpu_milli_ns=held_ns * usage.vcpu_milli, memory_mb_ns=held_ns * usage.memory_mb
    )


def _extra_mb(usage: Usage) -> int:
    return max(0, usage.disk_mb - FREE_DISK_MB)
