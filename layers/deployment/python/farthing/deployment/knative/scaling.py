"""How a Service scales: the annotations that no schema checks, and the two rules they state.

Sources: annotation_validation.go and the autoscaling reconcilers of github.com/knative/serving
(98e5ef9, 2026-08); "KPA ... does not support CPU-based autoscaling; HPA ... does not support scale
to zero" (github.com/knative/docs, 2026-06).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from farthing.deployment.knative.overlay import SERVING, annotations_of, dig, name_of
from farthing.deployment.knative.quantities import go_duration_s, not_seventy, number, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farthing.deployment.findings import Finding
    from farthing.deployment.knative.overlay import Overlay

PREFIX = "autoscaling.knative.dev/"
KPA = "kpa.autoscaling.knative.dev"
HPA = "hpa.autoscaling.knative.dev"
TEMPLATE = "spec.template.metadata"
# The profile that an overlay's name promises.
CLASSES = {
    "zero": KPA, "spot": KPA, "priority": KPA, "queue": KPA, "canary": KPA, "batch": KPA,
    "warm": HPA, "recommend": HPA,
}  # fmt: skip
# Above it a mistyped ceiling is likelier than a small shop's traffic: 50 cores of calls at once.
PODS_MAX = 50
# What is idle longer belongs to the warm profile.
RETENTION_S_MAX = 300
HOUR_S = 3600
REVISION_DEPLOYMENT = re.compile(r"(.+)-\d{5}-deployment")


class Rule(NamedTuple):
    """What an annotation may hold, in words, and for which class."""

    fits: Callable[[str], bool]
    words: str
    only: str = ""


def _within(low: float, high: float) -> Callable[[str], bool]:
    return lambda text: (found := number(text)) is not None and low <= float(found) <= high


def _whole_from(low: int) -> Callable[[str], bool]:
    return lambda text: (found := whole(text)) is not None and found >= low


def _lasts(low_s: float, high_s: float) -> Callable[[str], bool]:
    return lambda text: (s := go_duration_s(text)) is not None and low_s <= s <= high_s


RULES = {
    "class": Rule(lambda text: text in {KPA, HPA}, f"{KPA} or {HPA}"),
    "metric": Rule(lambda text: text in {"concurrency", "rps", "cpu", "memory"}, "a known metric"),
    "target": Rule(_within(0.01, 1e9), "a number from 0.01"),
    "target-utilization-percentage": Rule(_within(1, 100), "a percentage from 1 to 100", KPA),
    "min-scale": Rule(_whole_from(0), "a whole number"),
    "max-scale": Rule(_whole_from(0), "a whole number"),
    "initial-scale": Rule(_whole_from(1), "a whole number from 1"),
    "activation-scale": Rule(_whole_from(2), "a whole number from 2", KPA),
    "scale-to-zero-pod-retention-period": Rule(
        _lasts(0, RETENTION_S_MAX), f"a duration up to {RETENTION_S_MAX}s, such as 60s", KPA
    ),
    "scale-down-delay": Rule(_lasts(0, HOUR_S), "a duration up to 1h, such as 60s", KPA),
    "window": Rule(_lasts(6, HOUR_S), "a duration from 6s to 1h"),
    "panic-window-percentage": Rule(_within(1, 100), "a percentage from 1 to 100", KPA),
    "panic-threshold-percentage": Rule(_within(110, 1000), "a percentage from 110", KPA),
    "target-burst-capacity": Rule(_within(-1, 1e6), "-1 or a number from 0"),
    "metric-aggregation-algorithm": Rule(
        lambda text: text in {"linear", "weighted-exponential"}, "linear or weighted-exponential"
    ),
}


def check(overlay: Overlay) -> Iterator[Finding]:
    """Annotations that Serving would refuse or ignore, and scaling that breaks a rule it states."""
    for _, service in overlay.services():
        yield from _check_annotations(overlay, service)
        found = {
            key.removeprefix(PREFIX): value
            for key, value in annotations_of(service, TEMPLATE).items()
        }
        yield from _check_class(overlay, service, found.get("class"))
        for says, key, do in _broken(service, found):
            yield overlay.finding(service, f"{TEMPLATE}.annotations.{PREFIX}{key}", says, do)
    yield from _check_foreign_scalers(overlay)


def _check_annotations(overlay: Overlay, service: dict[str, Any]) -> Iterator[Finding]:
    for key in annotations_of(service):
        if key.startswith(PREFIX):
            yield overlay.finding(
                service,
                f"metadata.annotations.{key}",
                "It stands on the Service, where Serving does not read it.",
                f"Move it to {TEMPLATE}.annotations.",
            )
    annotations = annotations_of(service, TEMPLATE)
    kind = annotations.get(f"{PREFIX}class")
    for key, value in annotations.items():
        at = f"{TEMPLATE}.annotations.{key}"
        if not key.startswith(PREFIX):
            if "autoscaling" in key:
                yield overlay.finding(
                    service, at, "No autoscaler reads it.", f"Its name begins with {PREFIX}."
                )
            continue
        rule = RULES.get(key.removeprefix(PREFIX))
        if rule is None:
            known = ", ".join(sorted(RULES))
            yield overlay.finding(
                service, at, "Serving knows no such annotation.", f"It knows {known}."
            )
        elif not rule.fits(value):
            yield overlay.finding(
                service, at, f"It is {value!r}, and may be {rule.words}.", "Correct it."
            )
        elif rule.only and kind in {KPA, HPA} and kind != rule.only:
            yield overlay.finding(
                service, at, f"The class {kind} does not read it.", "Remove it, or change class."
            )


def _check_class(overlay: Overlay, service: dict[str, Any], kind: str | None) -> Iterator[Finding]:
    promised = CLASSES.get(overlay.name)
    at = f"{TEMPLATE}.annotations.{PREFIX}class"
    if kind is None:
        yield overlay.finding(
            service, at, "It is missing, so the cluster's default decides.", f"Set {KPA} or {HPA}."
        )
    elif promised is not None and kind in {KPA, HPA} and kind != promised:
        yield overlay.finding(
            service,
            at,
            f"It is {kind}, but the overlay is called {overlay.name}.",
            f"Set {promised}.",
        )


def _broken(service: dict[str, Any], found: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Which promises of its class the Service breaks: what is so, which annotation, what to do."""
    kind = found.get("class")
    floor, ceiling = whole(found.get("min-scale")), whole(found.get("max-scale"))
    if ceiling is None or not 1 <= ceiling <= PODS_MAX:
        yield (
            f"It is {found.get('max-scale')!r}; one caller could spend without end.",
            "max-scale",
            f"Set 1 to {PODS_MAX}.",
        )
    elif floor is not None and floor >= ceiling:
        yield f"It is {floor}, and max-scale {ceiling}: nothing scales.", "min-scale", "Lower it."
    if kind == KPA:
        yield from _broken_kpa(service, found, floor)
    elif kind == HPA:
        yield from _broken_hpa(found, floor)


def _broken_kpa(
    service: dict[str, Any], found: dict[str, str], floor: int | None
) -> Iterator[tuple[str, str, str]]:
    reason = not_seventy(found.get("target-utilization-percentage"))
    if reason:
        yield reason, "target-utilization-percentage", 'Set "70".'
    if floor != 0:
        yield (
            f"It is {found.get('min-scale')!r}: the profile promises zero when idle.",
            "min-scale",
            'Set "0", or deploy the overlay warm.',
        )
    if found.get("metric", "concurrency") != "concurrency":
        yield (
            f"KPA would scale by {found['metric']}, which says nothing of busy cores.",
            "metric",
            "Set concurrency, or use the HPA class for cpu.",
        )
    at_once = dig(service, "spec.template.spec.containerConcurrency")
    target = found.get("target")
    if target is not None and number(target) != at_once:
        yield (
            f"It is {target}, but containerConcurrency is {at_once}.",
            "target",
            "Remove it: the 70 % are of containerConcurrency.",
        )
    if "scale-to-zero-pod-retention-period" not in found:
        yield (
            "It is missing, so every pause of a minute ends in a cold start.",
            "scale-to-zero-pod-retention-period",
            "Set 60s or so.",
        )


def _broken_hpa(found: dict[str, str], floor: int | None) -> Iterator[tuple[str, str, str]]:
    if found.get("metric") != "cpu":
        yield f"It is {found.get('metric')!r}: the rule is about cpu.", "metric", "Set cpu."
    reason = not_seventy(found.get("target"))
    if reason:
        yield reason, "target", 'Set "70": percent of the CPU request.'
    if floor is None or floor < 1:
        yield (
            f"It is {found.get('min-scale')!r}, but the HPA class never reaches zero.",
            "min-scale",
            'Set "1", or deploy the overlay zero.',
        )


def _check_foreign_scalers(overlay: Overlay) -> Iterator[Finding]:
    """Whatever else would scale a revision's Deployment fights with Serving (issue 15645 there)."""
    names = {name_of(service) for service in overlay.of("Service", SERVING)}
    paths = {
        "HorizontalPodAutoscaler": "spec.scaleTargetRef",
        "ScaledObject": "spec.scaleTargetRef",
    }
    for kind, path in paths.items():
        for scaler in overlay.of(kind):
            target = str(dig(scaler, f"{path}.name") or "")
            match = REVISION_DEPLOYMENT.fullmatch(target)
            if match and match[1] in names:
                yield overlay.finding(
                    scaler,
                    f"{path}.name",
                    f"{target} belongs to the Knative Service {match[1]}, which scales it itself.",
                    "Scale a Deployment of its own, or use the Service's annotations.",
                )
