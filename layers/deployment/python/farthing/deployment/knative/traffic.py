"""How calls are shared among revisions and Services: canary and priority."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from farthing.deployment.knative.nodes import is_on_spot
from farthing.deployment.knative.overlay import SERVING, dig, name_of
from farthing.deployment.knative.pods import Pod

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.findings import Finding
    from farthing.deployment.knative.overlay import Overlay

AT = "spec.traffic"
TAG = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
CANARY_PERCENT_MAX = 50


def check(overlay: Overlay) -> Iterator[Finding]:
    """Shares that do not add up, lead nowhere, or are not what the overlay's name promises."""
    for document in [*overlay.of("Service", SERVING), *overlay.of("Route", SERVING)]:
        targets = dig(document, AT)
        if targets:
            yield from _check_targets(overlay, document, targets)
    if overlay.name == "canary":
        for name in overlay.functions:
            service = overlay.named("Service", name, SERVING)
            if service is not None:
                yield from _check_canary(overlay, service)
    if overlay.name == "priority":
        for name in overlay.functions:
            yield from _check_priority(overlay, name)


def _check_targets(
    overlay: Overlay, document: dict[str, Any], targets: list[dict[str, Any]]
) -> Iterator[Finding]:
    total = sum(target.get("percent") or 0 for target in targets)
    if total != 100:
        yield overlay.finding(
            document, AT, f"The shares add up to {total} %.", "Make them add up to 100."
        )
    tags = [target["tag"] for target in targets if "tag" in target]
    for tag in sorted(set(tags)):
        if tags.count(tag) > 1 or not TAG.fullmatch(tag):
            yield overlay.finding(
                document, AT, f"The tag {tag!r} is no DNS label, or stands twice.", "Rename it."
            )
    is_route = document["kind"] == "Route"
    services = {name_of(it) for it in overlay.of("Service", SERVING)}
    for place, target in enumerate(targets):
        at = f"{AT}.{place}"
        named = target.get("revisionName")
        if (named is None) != (target.get("latestRevision") is True):
            yield overlay.finding(
                document,
                at,
                "A share goes to a named revision, or else to the latest.",
                "Set revisionName, or latestRevision: true.",
            )
        if is_route and named is None and target.get("configurationName") not in services:
            yield overlay.finding(
                document,
                f"{at}.configurationName",
                f"There is no Service {target.get('configurationName')}.",
                "Name one of this overlay.",
            )
        if not is_route and named and not re.fullmatch(rf"{name_of(document)}-\d{{5}}", named):
            yield overlay.finding(
                document,
                f"{at}.revisionName",
                f"{named} is no revision of {name_of(document)}.",
                f"Write the one that serves now, such as {name_of(document)}-00001.",
            )


def _check_canary(overlay: Overlay, service: dict[str, Any]) -> Iterator[Finding]:
    targets = dig(service, AT) or []
    newest = [target for target in targets if target.get("latestRevision")]
    percent = newest[0].get("percent") if len(newest) == 1 else None
    if percent is None or not 1 <= percent < CANARY_PERCENT_MAX or "tag" not in newest[0]:
        yield overlay.finding(
            service,
            AT,
            "The overlay is called canary, but the newest revision has no small, tagged share.",
            f"Give it 1 to {CANARY_PERCENT_MAX - 1} % and the tag canary.",
        )


def _check_priority(overlay: Overlay, name: str) -> Iterator[Finding]:
    """One Route a function: the tag `high` leads to its Service, `low` to the twin on spot."""
    route = overlay.named("Route", f"{name}-priority", SERVING)
    if route is None:
        yield overlay.missing(
            "Route", f"{name}-priority", f"{name} has no route by priority.", "Add it."
        )
        return
    led = {it.get("tag"): it.get("configurationName") for it in dig(route, AT) or []}
    for tag, on_spot in (("high", False), ("low", True)):
        service = overlay.named("Service", led.get(tag), SERVING)
        fits = service is not None and overlay.function_of(name_of(service)) == name
        if not fits or is_on_spot(Pod(service or {}, "spec.template.spec", name)) != on_spot:
            yield overlay.finding(
                route,
                AT,
                f"The tag {tag} leads to {led.get(tag)}, which is not {name} "
                + ("on spot nodes." if on_spot else "off spot nodes."),
                "Lead high to the Service on demand, low to its twin on spot.",
            )
    shares = {it.get("tag"): it.get("percent") for it in dig(route, AT) or []}
    if shares.get("low") != 100:
        yield overlay.finding(
            route,
            AT,
            "Calls without the header do not all go to the cheap nodes.",
            "Give low 100 % and high none.",
        )
