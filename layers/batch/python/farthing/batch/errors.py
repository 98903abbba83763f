"""What is wrong with a job, its files or the place where it runs.

StartupError
├── JobInvalid        what was asked for is no job: a task, a column, a format that is not there
├── InputInvalid      a file cannot be read as what its name says
├── InputChanged      a file is not the one that the job was planned from
├── OutputExists      there is another job's output where this one's is to go
├── JobMissing        there is no job at that address
├── JobUnfinished     shards failed, or are still to be done
├── Interrupted       the machine is being taken away; what is done is kept
├── EngineUnavailable the engine is not installed, does not answer, or refuses
└── QueueUnavailable  the queue does not answer, or refuses
"""

from __future__ import annotations

from farthing.errors import StartupError


class JobInvalid(StartupError):
    """What was asked for is no job."""


class InputInvalid(StartupError):
    """A file cannot be read as what its name says."""


class InputChanged(StartupError):
    """A file is not the one that the job was planned from."""


class OutputExists(StartupError):
    """There is another job's output where this one's is to go."""


class JobMissing(StartupError):
    """There is no job at that address."""


class JobUnfinished(StartupError):
    """Shards failed, or are still to be done."""


class Interrupted(StartupError):
    """The machine is being taken away; what is done is kept."""


class EngineUnavailable(StartupError):
    """The engine is not installed, does not answer, or refuses."""


class QueueUnavailable(StartupError):
    """The queue does not answer, or refuses."""
