"""Events: what they reach, how often they are tried, and where the lost ones lie."""

from __future__ import annotations

import ast
import json
import re
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from farthing.deployment.knative.overlay import SERVING, dig, name_of
from farthing.deployment.knative.quantities import iso_duration_s
from farthing.deployment.pings import is_ping

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.findings import Finding
    from farthing.deployment.knative.overlay import Overlay

# The JobSink that works, where others show what was lost.
BATCH = "batch"
# What functions answer events with; a Trigger on it would feed answers back as questions.
ANSWER_TYPE = "farthing.answer.v1"
EVENT_TYPE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+\.v\d+")
EVENT_FILE = "/etc/jobsink-event/event"
RETRIES_MAX = 10
DELAY_S_MAX = 60
DAY_S = 86_400
JOB_S_MAX = 300
# Minute, hour, day of month, month, day of week.
CRON_MAX = (59, 23, 31, 12, 7)
CRON_PART = re.compile(r"(?:\*|\d{1,2}(?:-\d{1,2})?)(?:/\d{1,2})?")


def check(overlay: Overlay) -> Iterator[Finding]:
    """Events that would be lost, looped or never delivered."""
    for name in overlay.functions:
        subscribers = [dig(it, "spec.subscriber.ref.name") for it in overlay.of("Trigger")]
        if name not in subscribers:
            yield overlay.missing(
                "Trigger", name, f"No Trigger delivers to {name}.", "Add one to base/events.yaml."
            )
    for broker in overlay.of("Broker"):
        yield from _check_delivery(overlay, broker)
    for trigger in overlay.of("Trigger"):
        yield from _check_trigger(overlay, trigger)
    for sink in overlay.of("JobSink"):
        if name_of(sink) != BATCH:
            yield from _check_sink(overlay, sink)
    for source in overlay.of("PingSource"):
        yield from _check_ping(overlay, source)


def _refers(overlay: Overlay, document: dict[str, Any], path: str) -> Iterator[Finding]:
    """A finding unless the reference names an object of this overlay, by its own API version."""
    ref = dig(document, f"{path}.ref") or {}
    group = str(ref.get("apiVersion", ""))
    target = overlay.named(str(ref.get("kind")), ref.get("name"), group or "?")
    if target is None or target.get("apiVersion") != group:
        yield overlay.finding(
            document,
            f"{path}.ref",
            f"There is no {ref.get('kind')} {ref.get('name')} of {group or 'no API version'} here.",
            "Name an object of this overlay.",
        )


def _check_delivery(overlay: Overlay, document: dict[str, Any]) -> Iterator[Finding]:
    at = "spec.delivery"
    retry = dig(document, f"{at}.retry")
    if not isinstance(retry, int) or not 1 <= retry <= RETRIES_MAX:
        yield overlay.finding(
            document, f"{at}.retry", f"It is {retry}.", f"Set 1 to {RETRIES_MAX}; each try is paid."
        )
    if dig(document, f"{at}.backoffPolicy") != "exponential":
        yield overlay.finding(
            document,
            f"{at}.backoffPolicy",
            f"It is {dig(document, f'{at}.backoffPolicy')}: retries would meet the same crowd.",
            "Set exponential.",
        )
    delay_s = iso_duration_s(dig(document, f"{at}.backoffDelay"))
    if delay_s is None or not 0 < delay_s <= DELAY_S_MAX:
        yield overlay.finding(
            document,
            f"{at}.backoffDelay",
            f"It is {dig(document, f'{at}.backoffDelay')}.",
            f"Set an ISO 8601 duration up to PT{DELAY_S_MAX}S, such as PT1S.",
        )
    yield from _refers(overlay, document, f"{at}.deadLetterSink")


def _check_trigger(overlay: Overlay, trigger: dict[str, Any]) -> Iterator[Finding]:
    broker = dig(trigger, "spec.broker")
    if overlay.named("Broker", broker) is None:
        yield overlay.finding(
            trigger, "spec.broker", f"There is no Broker {broker}.", "Name the one there is."
        )
    if dig(trigger, "spec.delivery") is not None:
        yield from _check_delivery(overlay, trigger)
    yield from _refers(overlay, trigger, "spec.subscriber")
    if dig(trigger, "spec.subscriber.ref.kind") == "JobSink":
        return  # Functions answer events; a Job does not, and may take those of others.
    kind = dig(trigger, "spec.filter.attributes.type")
    if kind is None:
        yield overlay.finding(
            trigger,
            "spec.filter.attributes.type",
            "It is missing, so the functions' own answers come back as questions.",
            "Name one type of event.",
        )
    elif kind == ANSWER_TYPE or not EVENT_TYPE.fullmatch(str(kind)):
        yield overlay.finding(
            trigger,
            "spec.filter.attributes.type",
            f"It is {kind!r}.",
            f"Name a type such as farthing.classify.v1, and not {ANSWER_TYPE}.",
        )
    twins = [
        it
        for it in overlay.of("Trigger")
        if dig(it, "spec.filter.attributes") == dig(trigger, "spec.filter.attributes")
        and dig(it, "spec.broker") == broker
    ]
    if len(twins) > 1:
        yield overlay.finding(
            trigger,
            "spec.filter",
            "Another Trigger takes the same events.",
            "Keep one: both are paid.",
        )


def _check_sink(overlay: Overlay, sink: dict[str, Any]) -> Iterator[Finding]:
    bounds = {
        "backoffLimit": (0, RETRIES_MAX, "tries"),
        "activeDeadlineSeconds": (1, JOB_S_MAX, "s"),
        "ttlSecondsAfterFinished": (DAY_S, 30 * DAY_S, "s"),
    }
    for name, (low, high, unit) in bounds.items():
        found = dig(sink, f"spec.job.spec.{name}")
        if not isinstance(found, int) or not low <= found <= high:
            yield overlay.finding(
                sink, f"spec.job.spec.{name}", f"It is {found}.", f"Set {low} to {high} {unit}."
            )
    pod = dig(sink, "spec.job.spec.template.spec") or {}
    if pod.get("restartPolicy") != "Never":
        yield overlay.finding(
            sink, "spec.job.spec.template.spec.restartPolicy", "It is not Never.", "Set Never."
        )
    command = [str(word) for word in dig(pod, "containers.0.command") or []]
    if len(command) != 3 or command[:2] != ["python3", "-c"] or not _reads_event(command[2]):
        yield overlay.finding(
            sink,
            "spec.job.spec.template.spec.containers.0.command",
            f"It does not show the event, which is in {EVENT_FILE}.",
            "Run python3 -c with code that prints it; the image has no shell.",
        )


def _reads_event(code: str) -> bool:
    """Whether it is one call of print with the event's file in it."""
    try:
        body = ast.parse(code).body
    except SyntaxError:
        return False
    call = body[0].value if len(body) == 1 and isinstance(body[0], ast.Expr) else None
    is_print = isinstance(call, ast.Call) and getattr(call.func, "id", "") == "print"
    return is_print and repr(EVENT_FILE) in ast.unparse(body[0])


def _check_ping(overlay: Overlay, source: dict[str, Any]) -> Iterator[Finding]:
    yield from _refers(overlay, source, "spec.sink")
    schedule = str(dig(source, "spec.schedule"))
    if not _is_cron(schedule):
        yield overlay.finding(
            source, "spec.schedule", f"{schedule!r} is no schedule.", "Write five cron fields."
        )
    elif schedule.startswith("*") and (
        not is_ping(dig(source, "spec.data")) or _is_always(schedule)
    ):
        yield overlay.finding(
            source,
            "spec.schedule",
            f"{schedule!r} calls every minute.",
            "That is no zero: name one.",
        )
    zone = dig(source, "spec.timezone")
    if zone is None or not _is_zone(str(zone)):
        yield overlay.finding(
            source, "spec.timezone", f"It is {zone!r}.", "Name a zone such as Europe/London."
        )
    if dig(source, "spec.contentType") != "application/json":
        yield overlay.finding(
            source, "spec.contentType", "The data is not sent as JSON.", "Set application/json."
        )
    function = str(dig(source, "spec.sink.ref.name"))
    if is_ping(dig(source, "spec.data")):
        return
    if function in overlay.functions and dig(source, "spec.sink.ref.apiVersion") == f"{SERVING}/v1":
        yield from _check_question(overlay, source, function)


def _is_always(schedule: str) -> bool:
    """Whether a schedule of every minute has no hour in which it rests."""
    return schedule.split()[1].startswith("*")


def _check_question(overlay: Overlay, source: dict[str, Any], function: str) -> Iterator[Finding]:
    """The data must ask what the function's own sample of a direct call asks."""
    sample = overlay.project.root / "functions" / function / "events" / "direct.json"
    try:
        data = json.loads(str(dig(source, "spec.data")))
        known = json.loads(sample.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        data, known = None, {}
    known = known.get("body", known) if isinstance(known, dict) else {}
    if not isinstance(data, dict) or not data or not data.keys() <= dict(known).keys():
        yield overlay.finding(
            source,
            "spec.data",
            f"{name_of(source)} does not ask what {function} answers.",
            f"Write JSON with keys of functions/{function}/events/direct.json.",
        )


def _is_cron(schedule: str) -> bool:
    fields = schedule.split()
    return len(fields) == len(CRON_MAX) and all(
        CRON_PART.fullmatch(part) and all(int(n) <= top for n in re.findall(r"\d+", part))
        for field, top in zip(fields, CRON_MAX, strict=True)
        for part in field.split(",")
    )


def _is_zone(name: str) -> bool:
    if not available_timezones():
        return "/" in name
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
