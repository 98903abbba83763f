"""Calls at once on one instance: as many as are charged, where a batcher computes them together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.deployment.alibaba.shape import Fault
from farthing.deployment.answers import keeps_answers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.alibaba.models import FunctionProps
    from farthing.deployment.project import Function

AT = "instanceConcurrency"
VARIABLE = "FARTHING_CONCURRENCY"
# A core computes a thousand short texts a second at the most: more calls than these wait for each
# other longer than a new instance takes to come.
CALLS_MAX = 32
GATHER = "gather"


def gathering_faults(
    props: FunctionProps, name: str, function: Function, profile: str
) -> Iterator[Fault]:
    """Functions of texts may take more calls than pyproject.toml says, others may not.

    `profile` is `gather` for the file in which they do.
    """
    calls = props.instance_concurrency
    gathers = keeps_answers(name)
    if calls != function.concurrency and not gathers:
        says = (
            f"It is {calls}, but pyproject.toml gives {name} {function.concurrency} calls at once."
        )
        yield Fault(AT, says, f"Write {function.concurrency}.")
    elif calls == 1 and gathers and profile == GATHER:
        says = "It is 1, in the file whose instances take several calls at once."
        yield Fault(AT, says, "Write 8 or so.")
    elif calls > CALLS_MAX:
        says = f"It is {calls}: the last of them would wait longer than for a new instance."
        yield Fault(AT, says, f"Write {CALLS_MAX} or fewer.")
    charged = props.environment_variables.get(VARIABLE, "1")
    if charged != str(calls):
        yield Fault(
            f"environmentVariables.{VARIABLE}",
            f"It is {charged}, and an instance takes {calls} calls at once: the time that they "
            "share would be charged to each of them, or to none.",
            f"Write '{calls}', as {AT} says.",
        )
