"""What a container is told of its size, and whether an answer's price can come from that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from farthing.billing.prices import read_price_book
from farthing.deployment.knative.overlay import dig
from farthing.deployment.knative.quantities import cpu_milli, memory_mb
from farthing.errors import PriceMissing
from farthing.hosts import DEFAULTS
from farthing.settings import PREFIX, known_variables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.knative.overlay import Overlay
    from farthing.deployment.knative.pods import Broken, Pod
    from farthing.deployment.project import Function

DEFAULT_TIMEOUT_MS = 30_000
DEFAULT_NODE = "c7i.xlarge"


def broken_size(overlay: Overlay, pod: Pod, container: dict[str, Any]) -> Iterator[Broken]:
    """Requests and limits that are missing, differ, or are not what pyproject.toml gives."""
    for name in ("cpu", "memory"):
        asked = dig(container, f"resources.requests.{name}")
        given = dig(container, f"resources.limits.{name}")
        if asked is None or asked != given:
            yield (
                f"resources.requests.{name}",
                f"It is {asked}, and the limit {given}: what is priced is neither.",
                "State both, and alike.",
            )
        known = {**overlay.functions, **overlay.jobs}
        described = pod.function or pod.job
        if described is None:
            continue
        function = known[described]
        wanted, unit = (function.vcpu_milli, "m") if name == "cpu" else (function.memory_mb, "Mi")
        found = cpu_milli(given) if name == "cpu" else memory_mb(given)
        if found != wanted:
            yield (
                f"resources.limits.{name}",
                f"It is {given}, but pyproject.toml gives {described} {wanted}{unit}.",
                "Make them agree.",
            )


def broken_environment(pod: Pod, container: dict[str, Any], function: Function) -> Iterator[Broken]:
    entries = container.get("env") or []
    names = [str(it.get("name")) for it in entries]
    found = {str(it.get("name")): it.get("value") for it in entries}
    for name in sorted({it for it in names if names.count(it) > 1}):
        yield f"env.{name}", "It is set twice.", "Keep one."
    for name in names:
        if name.startswith(PREFIX) and name not in known_variables():
            yield f"env.{name}", "Farthing reads no such variable.", "Correct its name."
    wanted = {
        "PLATFORM": "knative",
        "MEMORY_MB": str(function.memory_mb),
        "VCPU_MILLI": str(function.vcpu_milli),
    }
    for name, value in wanted.items():
        if found.get(PREFIX + name) != value:
            yield (
                f"env.{PREFIX}{name}",
                f"It is {found.get(PREFIX + name)!r}, not {value!r}: prices would be wrong.",
                f"Set {value!r}.",
            )
    timeout_ms = found.get(f"{PREFIX}TIMEOUT_MS") or str(DEFAULT_TIMEOUT_MS)
    if timeout_ms != str(function.timeout_s * 1000):
        yield (
            f"env.{PREFIX}TIMEOUT_MS",
            f"A call ends after {timeout_ms} ms; pyproject.toml gives {function.timeout_s} s.",
            "Make them agree.",
        )
    yield from broken_price(found)
    if pod.is_serving and dig(pod.owner, "spec.template.spec.timeoutSeconds") != function.timeout_s:
        yield (
            "timeoutSeconds",
            f"pyproject.toml gives {pod.function} {function.timeout_s} s.",
            "Set spec.template.spec.timeoutSeconds to it.",
        )


def broken_price(found: dict[str, str | None]) -> Iterator[Broken]:
    """A node, by the container's variables, that no price can come from."""
    node = found.get(f"{PREFIX}NODE")
    region = found.get(f"{PREFIX}REGION") or str(DEFAULTS["knative"]["region"])
    if node is None:
        yield (
            f"env.{PREFIX}NODE",
            f"It is missing, so answers are priced as on {DEFAULT_NODE}.",
            "Name the node that the pods run on.",
        )
        return
    book = read_price_book()
    for item in ("vcpu", "memory"):
        try:
            book.price(f"knative.{item}.{node}", region)
        except PriceMissing as error:
            yield f"env.{PREFIX}NODE", str(error), "Or name a node that the book has."
            return
