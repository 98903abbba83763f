"""Where a function keeps answers: in its own memory, or in a server that its network reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from farthing.deployment.alibaba.agreement import FROM_ENVIRONMENT
from farthing.deployment.alibaba.shape import Fault
from farthing.deployment.answers import ALONE, keeps_answers
from farthing.deployment.answers import CACHE_VARIABLE as VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from farthing.deployment.alibaba.models import FunctionProps

AT = f"environmentVariables.{VARIABLE}"
SHARED = "cache"


def cache_faults(props: FunctionProps, name: str, profile: str) -> Iterator[Fault]:
    """`profile` is `cache` for the file whose functions share what they keep."""
    kept_in = props.environment_variables.get(VARIABLE)
    if not keeps_answers(name):
        if kept_in is not None:
            yield Fault(AT, "The function keeps no answers, so it does nothing.", "Remove it.")
    elif kept_in is None:
        yield Fault(AT, "The key is missing, so what is kept is left to chance.", "Write memory.")
    elif kept_in in ALONE and profile == SHARED:
        says = f"It is {kept_in}, in the file whose instances share what they keep."
        yield Fault(AT, says, f"Write ${{env('{VARIABLE}')}}.")
    elif kept_in not in ALONE and not isinstance(props.vpc_config, dict):
        # No server with answers should be on the internet.
        says = "The cache is a server in a VPC, and the function stands in none."
        yield Fault("vpcConfig", says, "Name vpcId, vSwitchIds and securityGroupId.")


def cache_secrets(raw: Mapping[str, Any]) -> Iterator[Fault]:
    """An address that is written out; `raw` is not resolved."""
    environment = raw.get("environmentVariables")
    value = environment.get(VARIABLE) if isinstance(environment, dict) else None
    if value is not None and value not in ALONE and not FROM_ENVIRONMENT.fullmatch(str(value)):
        says = "A server's address holds its password, and is written into the file."
        yield Fault(AT, says, f"Write ${{env('{VARIABLE}')}}, or memory, or off.")
