"""AWS Lambda: memory sizes, architectures, and ways to commit or to stand ready."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from farthing.planning.offers.lambda_ready import managed, provisioned, snap_start
from farthing.planning.offers.lambda_sizes import SIZES_MB, cheapest_mb, on_demand, savings_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farthing.planning.case import Case
    from farthing.planning.options import Option

NODES = {"x86_64": "c7i.xlarge", "arm64": "c7g.xlarge"}
AT_THE_CHEAPEST_SIZE = {
    "savings plan": savings_plan,
    "provisioned": provisioned,
    "SnapStart": snap_start,
}


def lambda_offers(case: Case) -> Iterator[tuple[str, Callable[[], Option]]]:
    """What each option is called, and what prices it."""
    for arch, node in NODES.items():
        for memory_mb in SIZES_MB:
            name = f"AWS Lambda {arch}, on demand, {memory_mb:,} MB"
            yield name, partial(on_demand, case, arch, memory_mb)
        for profile, offer in AT_THE_CHEAPEST_SIZE.items():
            yield f"AWS Lambda {arch}, {profile}", partial(_at_cheapest_size, offer, case, arch)
        yield f"AWS Lambda {arch}, Managed Instances", partial(managed, case, arch, node)


def _at_cheapest_size(offer: Callable[[Case, str, int], Option], case: Case, arch: str) -> Option:
    return offer(case, arch, cheapest_mb(case, arch))
