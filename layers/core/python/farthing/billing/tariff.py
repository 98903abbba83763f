"""Which of the provider's rules and rates an attempt falls under."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from farthing.billing.prices import CURRENT

# Resolved at run time by msgspec, which reads the annotations.
from farthing.hosts import PlatformName
from farthing.settings import Initialization

if TYPE_CHECKING:
    from farthing.settings import Settings

NS_PER_US = 1000


class Tariff(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """With an attempt's usage, all that its cost needs: the ledger keeps one for each entry.

    `singly`: the instance takes one call at a time, and Function Compute bills whole milliseconds.
    `node` matters on Knative and Managed Instances, `initialization` on Lambda, and on Function
    Compute where `provisioned-concurrency` says that instances are kept and billed while idle.
    `overhead_ns` is what Lambda's runtime takes around the handler, which is billed and which no
    handler can see; settlement says what it was.
    """

    platform: PlatformName
    region: str
    arch: str
    initialization: Initialization = "on-demand"
    node: str = ""
    singly: bool = True
    book: str = CURRENT
    overhead_ns: int = 0


def tariff_of(settings: Settings) -> Tariff:
    """The tariff of every attempt of a process with these settings."""
    return Tariff(
        settings.platform,
        settings.region,
        settings.arch,
        settings.initialization,
        settings.node,
        settings.concurrency == 1,
        overhead_ns=settings.overhead_us * NS_PER_US,
    )
