"""Work for others: a job's shards as messages, or as a state machine's items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from farthing.batch.events.queue import Message, Queue

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farthing.batch.job import Shard
    from farthing.batch.jobs import Opened
    from farthing.settings import Settings

# Enough for any number of workers to be busy to the end, and not a message for every shard.
MESSAGES_WISHED: Final = 1000


class Hands:
    """Whoever else works for the settings' jobs; without a queue or state machine, nobody."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def are_there(self) -> bool:
        return bool(self._settings.batch_queue or self._settings.batch_state_machine)

    def hand_out(self, opened: Opened, shards: Iterable[Shard], at_once_max: int) -> None:
        """Hands the shards to others, at most so many in one piece.

        Handed out again they are done once all the same. Raises `QueueUnavailable`, or
        `EngineUnavailable` where the state machine refuses.
        """
        if self._settings.batch_state_machine:
            from farthing.batch.engines.stepfunctions import StepFunctionsEngine

            StepFunctionsEngine(self._settings).start(opened, list(shards))
            return
        self.pass_on(opened, shards, at_once_max)

    def pass_on(self, opened: Opened, shards: Iterable[Shard], at_once_max: int) -> None:
        """The same by the queue alone."""
        numbers = [shard.number for shard in shards]
        wished = -(-len(numbers) // MESSAGES_WISHED)
        size = max(1, min(at_once_max, wished))
        messages = []
        for start in range(0, len(numbers), size):
            piece = numbers[start : start + size]
            body = msgspec.json.encode({"job": opened.job.out, "shards": piece}).decode()
            key = f"{opened.job.id} {piece}"
            messages.append(Message(body, {}, f"{opened.job.id}-{piece[0]}", key))
        Queue(self._settings.batch_queue).send(messages)
