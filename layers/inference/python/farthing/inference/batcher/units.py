"""What a batcher computes: models, calls that ask them, and the units that calls are cut into."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from farthing.deadlines import USUAL_NS_PER_TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from farthing.inference.batcher.asking import Answerer, Computation
    from farthing.inference.batcher.lanes import Flow, Lane

# How far a latest run moves what is expected of the next: by one part in so many.
PACE_MEMORY = 8


class Model:
    """An answerer as a batcher sees it: what may share its runs, and how long they take.

    Only models of texts say what may share (`sharing`, `run`); all other work stays whole.
    """

    __slots__ = ("_is_measured", "answerer", "batch_ids_max", "is_cut", "ns_per_token", "sharing")

    def __init__(self, answerer: Answerer) -> None:
        self.answerer: Any = answerer
        self.is_cut = hasattr(answerer, "sharing")
        self.sharing: str = getattr(answerer, "sharing", "alone")
        self.batch_ids_max: int = getattr(answerer, "batch_ids_max", 1)
        self.ns_per_token = USUAL_NS_PER_TOKEN
        self._is_measured = False

    def cost_ns(self, tokens: int) -> int:
        """How long a thread should be busy with so many tokens."""
        return tokens * self.ns_per_token

    def learn(self, tokens: int, busy_ns: int) -> None:
        """A thread was busy for so long with so many tokens."""
        latest = max(1, busy_ns // max(1, tokens))
        if self._is_measured:
            self.ns_per_token += (latest - self.ns_per_token) // PACE_MEMORY
        else:
            self.ns_per_token, self._is_measured = latest, True

    def doubt(self) -> None:
        """A call is refused for what was expected of it. The machine may have stood still in the
        run that told so, and where every call is refused no other would tell.
        """
        self.ns_per_token -= self.ns_per_token // PACE_MEMORY


class Waiter(NamedTuple):
    """A call that waits for a unit as its text at `place`; `cost_ns` is what it adds to the queue,
    nothing where another call waited for the unit already.
    """

    call: QueuedCall
    place: int
    cost_ns: int


class Unit:
    """What is computed once, for all who wait for it: a text, or work that cannot be cut.

    `length` is that of the graph's input row.
    """

    __slots__ = ("is_waiting", "item", "key", "length", "model", "tokens", "waiters")

    def __init__(self, model: Model, item: Any, key: bytes, length: int, tokens: int) -> None:
        self.model = model
        self.item = item
        self.key = key
        self.length = length
        self.tokens = tokens
        self.is_waiting = True
        self.waiters: list[Waiter] = []


class QueuedCall:
    """A computation on its way; who asked for it holds it as the ticket."""

    __slots__ = (
        "_cancel", "computation", "deadline_ns", "done", "flow", "is_over", "lane",
        "left", "result", "share", "units", "waiting",
    )  # fmt: skip

    def __init__(
        self,
        computation: Computation,
        done: Callable[[Any, BaseException | None], None],
        lane: Lane,
        cancel: Callable[[QueuedCall], bool],
    ) -> None:
        self.computation = computation
        self.deadline_ns = computation.deadline_ns
        self.share = computation.share
        self.done = done
        self.lane = lane
        self.flow: Flow
        self.units: Sequence[Unit] = ()
        self.left = self.waiting = 0
        self.is_over = False
        self.result: Any = None
        self._cancel = cancel

    def cancel(self) -> bool:
        """Nobody waits any more: what has not begun is not computed.

        True where `done` will not be called; False where the call is over already.
        """
        return self._cancel(self)

    def take(self, place: int, result: Any, row: int | None) -> bool:
        """Keeps what came of the unit at `place`, a row of a run's or the whole; True if all is
        there.
        """
        self.left -= 1
        if row is None:
            self.result = result
        elif len(self.units) == 1:
            # A copy, so that who asked may change it, and the run's other rows are given back.
            self.result = result[row : row + 1].copy()
        else:
            if self.result is None:
                self.result = np.empty((len(self.units), result.shape[1]), dtype=np.float32)
            self.result[place] = result[row]
        return self.left == 0


def units_of(model: Model, computation: Computation) -> list[Unit]:
    """The units of a computation: a text each where its model can be asked so."""
    work = computation.work
    if not model.is_cut:
        return [Unit(model, computation, b"", 0, work.tokens)]
    texts = work.texts
    keys = computation.keys or [b""] * len(texts)
    return [
        Unit(model, text, key, len(text.ids), text.tokens)
        for text, key in zip(texts, keys, strict=True)
    ]
