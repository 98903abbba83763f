"""All ways to run a batch."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from farthing.planning.batch.functions import fc_way, lambda_way, stepped_way
from farthing.planning.batch.nodes import knative_way, machine_way, ray_way

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farthing.planning.batch.ways import Setting, Way


def offers(setting: Setting) -> Iterator[tuple[str, Callable[[], Way]]]:
    """Every way, named, to be priced by a call that may raise `PriceMissing` or `Unfit`."""
    for arch in ("x86_64", "arm64"):
        yield f"Lambda, {arch}, by a queue", partial(lambda_way, setting, arch)
        yield f"Lambda, {arch}, by Step Functions", partial(stepped_way, setting, arch)
    yield "Function Compute", partial(fc_way, setting)
    yield "Knative, spot nodes", partial(knative_way, setting)
    yield "Ray, spot workers", partial(ray_way, setting)
    yield "One machine on demand", partial(machine_way, setting)
