"""Engines: where a job's shards are run.

| engine | where | needs |
| --- | --- | --- |
| `local` | processes of this machine, one a core | nothing more |
| `ray` | actors of a Ray cluster, or of a local Ray | the extra `ray` |
| `stepfunctions` | AWS Lambda, handed out by a Distributed Map | a deployed state machine |

An engine runs shards and tells of it. It books nothing and finishes no job: that is `running`'s.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from farthing.batch.errors import JobInvalid
from farthing.batch.job import Done, Shard

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from farthing.batch.interruption import Stop
    from farthing.batch.jobs import Opened
    from farthing.settings import Settings

# How often a shard is tried whose workers die under it.
ATTEMPTS_MAX = 3
ENGINES = {
    "local": ("farthing.batch.engines.local", "LocalEngine"),
    "ray": ("farthing.batch.engines.ray", "RayEngine"),
    "stepfunctions": ("farthing.batch.engines.stepfunctions", "StepFunctionsEngine"),
}


class Started(msgspec.Struct, frozen=True):
    """A worker has the shard; `attempt` counts from 1."""

    shard: Shard
    attempt: int


class Finished(msgspec.Struct, frozen=True):
    """The shard's checkpoint is written."""

    done: Done


class Lost(msgspec.Struct, frozen=True):
    """An attempt came to nothing: its worker died or was stopped. `busy_ns` is what it took."""

    shard: Shard
    reason: str
    busy_ns: int


class Failed(msgspec.Struct, frozen=True):
    """The shard is given up: its attempts are used up."""

    shard: Shard
    reason: str


Event = Started | Finished | Lost | Failed


class Engine(Protocol):
    """Runs shards of a job somewhere."""

    name: str

    def run(
        self,
        opened: Opened,
        shards: Sequence[Shard],
        report: Callable[[Event], None],
        stop: Stop,
        /,
    ) -> None:
        """Runs the shards in any order; each is reported `Finished` or `Failed`, unless `stop` is
        set meanwhile: then what runs ends soon and leaves nothing half done.

        A shard whose worker dies is `Lost` and tried again, `ATTEMPTS_MAX` times in all. `report`
        is called from the thread that called this. What is wrong with the job as a whole (a file
        that changed, a full disk, a bundle that is not there) is raised as it is; what is done by
        then stays done.
        """


def get_engine(name: str, settings: Settings, **options: Any) -> Engine:
    """The engine of that name; `options` are its own, `workers` for instance.

    Raises `JobInvalid` for a name that none has, `EngineUnavailable` where it is not installed.
    """
    if name not in ENGINES:
        raise JobInvalid(
            f"There is no engine {name!r}. Choose one of {', '.join(ENGINES)} with --engine."
        )
    module, engine = ENGINES[name]
    found: Engine = getattr(import_module(module), engine)(settings, **options)
    return found
