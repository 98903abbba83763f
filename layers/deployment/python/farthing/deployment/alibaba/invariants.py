"""What must hold inside one function: how it starts, who may call it, what it may cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.deployment.alibaba.shape import Fault
from farthing.deployment.alibaba.triggers import HttpTrigger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farthing.deployment.alibaba.models import FunctionProps

# A cold start with a slow image pull; and what the platform waits for a container at most.
# https://help.aliyun.com/en/functioncompute/fc/user-guide/custom-container/ (2026-04)
START_S = range(30, 121)
INITIALIZER_S = range(10, 121)
PRE_STOP_S = range(3, 61)
# Each attempt is paid; an answer after a day serves nobody.
ATTEMPTS_MAX = 3
EVENT_AGE_S_MAX = 86_400
# The quota of a new account in a region, which a reservation is taken from.
# https://help.aliyun.com/zh/functioncompute/fc-3-0/user-guide/instance-scaling-restrictions-and-rules
INSTANCES_MAX = 100

WHO_MAY_CALL = {"function": "platform", "jwt": "platform", "anonymous": "keys"}


def violations(props: FunctionProps, *, answers: bool) -> Iterator[Fault]:
    """`answers` is false for a function that only events call."""
    for rule in RULES:
        yield from rule(props)
    yield from _callers(props, answers=answers)


def _starts(props: FunctionProps) -> Iterator[Fault]:
    health = props.custom_container_config.health_check_config
    wait_s = health.initial_delay_seconds + health.period_seconds * health.failure_threshold
    at = "customContainerConfig.healthCheckConfig"
    if wait_s not in START_S:
        yield Fault(
            at,
            f"Its checks give a container {wait_s} s to become ready; a cold start takes up to "
            f"{START_S[0]} s, and the platform gives up after {START_S[-1]}.",
            "Make delay + period × failure threshold lie between.",
        )
    if health.timeout_seconds > health.period_seconds:
        yield Fault(at, "A check lasts longer than its period.", "Shorten the timeout.")
    hooks = props.instance_lifecycle_config
    for name, hook, seconds in (
        ("initializer", hooks.initializer, INITIALIZER_S),
        ("preStop", hooks.pre_stop, PRE_STOP_S),
    ):
        if hook.timeout not in seconds:
            yield Fault(
                f"instanceLifecycleConfig.{name}.timeout",
                f"It is {hook.timeout} s; {seconds[0]} s are needed and {seconds[-1]} enough.",
                f"Write a number from {seconds[0]} to {seconds[-1]}.",
            )


def _retries(props: FunctionProps) -> Iterator[Fault]:
    config = props.async_invoke_config
    attempts = config.max_async_retry_attempts
    if attempts > ATTEMPTS_MAX:
        says = f"A failing event is tried {attempts} times again, and every attempt is paid."
        yield Fault(
            "asyncInvokeConfig.maxAsyncRetryAttempts", says, f"Write {ATTEMPTS_MAX} or fewer."
        )
    age_s = config.max_async_event_age_in_seconds
    needed_s = (attempts + 1) * props.timeout
    if not needed_s <= age_s <= EVENT_AGE_S_MAX:
        yield Fault(
            "asyncInvokeConfig.maxAsyncEventAgeInSeconds",
            f"An event lives {age_s} s; its attempts take up to {needed_s} s, and after "
            f"{EVENT_AGE_S_MAX} s nobody waits for it.",
            "Write a number between.",
        )


def _wallet(props: FunctionProps) -> Iterator[Fault]:
    cap = props.concurrency_config.reserved_concurrency
    scaling = props.scaling_config
    floors = [scaling.min_instances]
    floors += [it.max_instances for it in scaling.horizontal_scaling_policies]
    floors += [it.target for it in scaling.scheduled_policies]
    at = "concurrencyConfig.reservedConcurrency"
    if cap < max(1, *floors):
        says = f"The cap is {cap} instances, but the floor may rise to {max(floors)}."
        yield Fault(at, says, "Raise the cap or lower the floor's maximum.")
    if cap > INSTANCES_MAX:
        says = f"The cap is {cap} instances; an account has {INSTANCES_MAX} in a region."
        yield Fault(at, says, "Lower it.")


def _triggers(props: FunctionProps) -> Iterator[Fault]:
    names = [it.trigger_name for it in props.triggers]
    for name in sorted({it for it in names if names.count(it) > 1}):
        yield Fault("triggers", f"Two triggers are named {name!r}.", "Rename one.")
    yield from _version(props)
    for index, trigger in enumerate(props.triggers):
        if isinstance(trigger, HttpTrigger):
            yield from _http(props, trigger, f"triggers.{index}.triggerConfig")


def _callers(props: FunctionProps, *, answers: bool) -> Iterator[Fault]:
    # "Only one HTTP trigger … in each version or alias":
    # https://help.aliyun.com/en/functioncompute/fc/user-guide/code-development-in-custom-container-runtimes
    count = sum(isinstance(it, HttpTrigger) for it in props.triggers)
    if answers and count != 1:
        says = f"The function has {count} HTTP triggers; it needs one and may have one."
        yield Fault("triggers", says, "Keep exactly one.")
    elif not answers and count:
        says = "It answers nobody, and has an HTTP trigger."
        yield Fault("triggers", says, "Remove it.")


def _version(props: FunctionProps) -> Iterator[Fault]:
    """A floor or a retry that belongs to another version than the one called does nothing."""
    called = props.triggers[0].qualifier
    others = {
        "scalingConfig.qualifier": props.scaling_config.qualifier,
        "asyncInvokeConfig.qualifier": props.async_invoke_config.qualifier,
        **{f"triggers.{i}.qualifier": it.qualifier for i, it in enumerate(props.triggers)},
    }
    for at, qualifier in others.items():
        if qualifier != called:
            says = f"It belongs to {qualifier}, but calls go to {called}."
            yield Fault(at, says, "Give triggers, floor and retries the same qualifier.")


def _http(props: FunctionProps, trigger: HttpTrigger, at: str) -> Iterator[Fault]:
    auth = trigger.trigger_config.auth_type
    access = props.environment_variables.get("FARTHING_ACCESS", "platform")
    if WHO_MAY_CALL[auth] != access:
        yield Fault(
            f"{at}.authType",
            f"The trigger's calls are {auth}, but FARTHING_ACCESS is {access!r}: "
            + ("anybody could call." if auth == "anonymous" else "keys could not reach it."),
            "Pair function with platform, and anonymous with keys.",
        )
    missing = {"GET", "POST"} - set(trigger.trigger_config.methods)
    if missing:
        says = f"The trigger lets no {' or '.join(sorted(missing))} through."
        yield Fault(f"{at}.methods", says, "Models are read by GET, answers asked for by POST.")


RULES: tuple[Callable[[FunctionProps], Iterator[Fault]], ...] = (
    _starts,
    _retries,
    _wallet,
    _triggers,
)
