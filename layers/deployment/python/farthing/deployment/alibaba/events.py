"""What must hold where events call a function: they arrive, are readable, and leave a trace."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from farthing.deployment.alibaba.shape import Fault
from farthing.deployment.alibaba.triggers import (
    EventBridgeTrigger,
    HttpTrigger,
    OssTrigger,
    TimerTrigger,
)
from farthing.deployment.pings import PING, is_ping

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from farthing.deployment.alibaba.models import FunctionProps
    from farthing.deployment.alibaba.triggers import Trigger


def event_faults(props: FunctionProps, *, answers: bool) -> Iterator[Fault]:
    """`answers` is false for a function whose result nobody waits for."""
    for index, trigger in enumerate(props.triggers):
        at = f"triggers.{index}"
        if isinstance(trigger, TimerTrigger):
            yield from _timer(trigger, f"{at}.triggerConfig", answers=answers)
        elif isinstance(trigger, OssTrigger):
            yield from _objects(props, trigger, at)
        elif isinstance(trigger, EventBridgeTrigger):
            yield from _messages(props, trigger, f"{at}.triggerConfig")
    yield from _destinations(props, answers=answers)
    yield from _mounts(props)


def overlaps(functions: Mapping[str, FunctionProps]) -> Iterator[tuple[str, Fault]]:
    """Triggers of one bucket that one object would fire twice; OSS refuses the later one.

    Each fault comes with the function it belongs to.
    """
    seen: list[tuple[str, str, str, str]] = []
    for name, props in functions.items():
        for index, trigger in enumerate(props.triggers):
            if not isinstance(trigger, OssTrigger):
                continue
            key = trigger.trigger_config.filter.key
            for other, bucket, prefix, suffix in seen:
                if bucket == trigger.source_arn and _nest(prefix, key.prefix, suffix, key.suffix):
                    says = f"An object under {key.prefix!r} also fires a trigger of {other}."
                    at = f"triggers.{index}.triggerConfig.filter.key"
                    yield name, Fault(at, says, "Give each trigger a folder of its own.")
            seen.append((name, trigger.source_arn, key.prefix, key.suffix))


def _nest(prefix: str, other_prefix: str, suffix: str, other_suffix: str) -> bool:
    prefixes = prefix.startswith(other_prefix) or other_prefix.startswith(prefix)
    return prefixes and (suffix.endswith(other_suffix) or other_suffix.endswith(suffix))


def _timer(trigger: TimerTrigger, at: str, *, answers: bool) -> Iterator[Fault]:
    config = trigger.trigger_config
    if not config.enable:
        yield Fault(f"{at}.enable", "The timer is off.", "Turn it on, or remove the trigger.")
    try:
        payload = json.loads(config.payload)
    except ValueError:
        payload = None
    if not isinstance(payload, dict):
        says = "The payload is no JSON object, and a call without a request fails."
        yield Fault(f"{at}.payload", says, "Write a small request.")
    elif answers and not is_ping(config.payload):
        says = "Nobody reads what a timer asks, and a tenant would pay for the answer."
        yield Fault(f"{at}.payload", says, f"Write {PING}.")


def _objects(props: FunctionProps, trigger: OssTrigger, at: str) -> Iterator[Fault]:
    key = trigger.trigger_config.filter.key
    region, _, bucket = trigger.source_arn.split(":")[2:]
    if region != props.region:
        says = f"The bucket is in {region}, the function in {props.region}."
        yield Fault(f"{at}.sourceArn", says, "Keep both in one region.")
    if not (key.prefix.endswith("/") and len(key.prefix) > 1):
        says = f"The prefix is {key.prefix!r}; only a folder keeps triggers apart."
        yield Fault(f"{at}.triggerConfig.filter.key.prefix", says, "Write a folder's name and /.")
    # Batch asks for its bucket's objects itself, and takes files of several kinds.
    asks = "FARTHING_BATCH_OUT" in props.environment_variables
    if not asks and not key.suffix.endswith(".json"):
        says = f"The suffix is {key.suffix!r}, but an object is read as a JSON request."
        yield Fault(f"{at}.triggerConfig.filter.key.suffix", says, "Write .json.")
    if any("Created" not in event for event in trigger.trigger_config.events):
        says = "It fires for objects that are not there to be read."
        yield Fault(f"{at}.triggerConfig.events", says, "Keep to oss:ObjectCreated:….")
    mounts = props.oss_mount_config.mount_points if props.oss_mount_config else []
    if not asks and bucket not in [it.bucket_name for it in mounts]:
        says = f"The bucket {bucket} is not mounted, so its objects cannot be read."
        yield Fault(f"{at}.sourceArn", says, "Mount it in ossMountConfig.")


def _messages(props: FunctionProps, trigger: EventBridgeTrigger, at: str) -> Iterator[Fault]:
    config = trigger.trigger_config
    if not config.trigger_enable:
        says = "The trigger is off."
        yield Fault(f"{at}.triggerEnable", says, "Turn it on, or remove the trigger.")
    if not config.async_invocation_type:
        says = "Only an asynchronous call is tried again and has destinations."
        yield Fault(f"{at}.asyncInvocationType", says, "Write true.")
    kind = config.event_source_config.event_source_type
    if kind in {"MNS", "RocketMQ", "RabbitMQ"}:
        # The source's name is made so: docs/zh/yaml/readme.md of github.com/devsapp/fc3.
        source = f"{kind}-{props.function_name}-{trigger.trigger_name}"
        pattern: dict[str, Any] = json.loads(config.event_rule_filter_pattern)
        if pattern.get("source") != [source]:
            says = f"The pattern lets no event of its own source, {source}, through."
            yield Fault(f"{at}.eventRuleFilterPattern", says, f'Write {{"source":["{source}"]}}.')


def _destinations(props: FunctionProps, *, answers: bool) -> Iterator[Fault]:
    config = props.async_invoke_config.destination_config
    at = "asyncInvokeConfig.destinationConfig"
    given = {
        "onSuccess": config.on_success if config else None,
        "onFailure": config.on_failure if config else None,
    }
    # The next ping makes up for one that is lost.
    sources = [it for it in props.triggers if not isinstance(it, HttpTrigger) and not _pings(it)]
    answered = [it for it in sources if not isinstance(it, TimerTrigger)]
    if sources and given["onFailure"] is None:
        says = "An event that fails would leave no trace."
        yield Fault(f"{at}.onFailure", says, "Name a queue for failures.")
    if answers and answered and given["onSuccess"] is None:
        says = "An event's answer would go nowhere."
        yield Fault(f"{at}.onSuccess", says, "Name a queue for answers.")
    named = {key: it.destination for key, it in given.items() if it is not None}
    if len(set(named.values())) < len(named):
        yield Fault(at, "Answers and failures go to one place.", "Name two.")
    for key, destination in named.items():
        if destination.split(":")[2] != props.region:
            says = f"It is in {destination.split(':')[2]}, the function in {props.region}."
            yield Fault(f"{at}.{key}.destination", says, "Keep both in one region.")
    if (named or props.oss_mount_config) and props.role is None:
        says = "It writes to a queue or reads a bucket, and has no role that lets it."
        yield Fault("role", says, "Name a role that may do exactly that.")


def ping_faults(props: FunctionProps, profile: str) -> Iterator[Fault]:
    """`profile` is `ping` for the file whose functions are kept by a timer."""
    if profile == "ping" and not any(map(_pings, props.triggers)):
        yield Fault("triggers", "No timer keeps an instance.", f"Add one that sends {PING}.")


def _pings(trigger: Trigger) -> bool:
    return isinstance(trigger, TimerTrigger) and is_ping(trigger.trigger_config.payload)


def _mounts(props: FunctionProps) -> Iterator[Fault]:
    objects = props.environment_variables.get("FARTHING_OBJECTS")
    mounts = props.oss_mount_config.mount_points if props.oss_mount_config else []
    if objects is not None and objects not in [it.mount_dir for it in mounts]:
        says = f"Objects are read from {objects}, where nothing is mounted."
        yield Fault("environmentVariables.FARTHING_OBJECTS", says, "Mount the bucket there.")
    of_objects = [it for it in mounts if it.mount_dir not in index_folders(props)]
    if of_objects and not any(isinstance(it, OssTrigger) for it in props.triggers):
        says = "A bucket is mounted, and no trigger tells of its objects."
        yield Fault("triggers", says, "Add an oss trigger, or remove the mount.")
    for index, mount in enumerate(mounts):
        at = f"ossMountConfig.mountPoints.{index}"
        if mount in of_objects:
            if mount.mount_dir != objects:
                says = f"FARTHING_OBJECTS is {objects!r}, so nothing is read there."
                yield Fault(f"{at}.mountDir", says, "Let both say the same.")
            if not mount.read_only:
                says = "The mount can be written to, and no function writes objects."
                yield Fault(f"{at}.readOnly", says, "Write true.")
        if mount.endpoint.split("//")[1] != f"oss-{props.region}-internal.aliyuncs.com":
            says = "It is not the region's internal endpoint, so reading is paid as traffic."
            do = f"Write http://oss-{props.region}-internal.aliyuncs.com."
            yield Fault(f"{at}.endpoint", says, do)


def index_folders(props: FunctionProps) -> list[str]:
    """The folders that indexes are read from, as far as they are none of the image's."""
    places = props.environment_variables.get("FARTHING_INDEX", "").split(",")
    return [it for it in places if it.startswith("/")]
