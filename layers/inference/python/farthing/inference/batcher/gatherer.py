"""The threads that compute, and how they come by what waits."""

from __future__ import annotations

import os
import sys
import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from farthing.deadlines import RESERVE_NS, RETRY_AFTER_S
from farthing.errors import DeadlineTooNear, Overloaded
from farthing.inference.batcher.door import Door
from farthing.inference.batcher.lanes import Lane
from farthing.inference.batcher.runs import run, tell
from farthing.inference.batcher.units import Model, QueuedCall, Unit, Waiter, units_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from farthing.inference.batcher.asking import Answerer, Computation

    Done = Callable[[Any, BaseException | None], None]

# Where some of the threads are idle, a call's texts are divided among them; a part of fewer ids
# would take as long as the whole.
PART_IDS_MIN = 128
# What may wait for everything else has a turn after so long all the same.
LOW_TURN_NS = 2_000_000_000
# What the first call is taken for that is let in.
USUAL_CALL_NS = 2_000_000
CALL_MEMORY = 4
NICENESS = 5


class Gatherer:
    """A `Batcher`: a thread that is free takes at once what waits, as much as may share a run.

    There is no timer: alone a call waits for nothing, and the longer runs take the more there is
    to gather. A call is cut into its texts, so that a long one is passed by short ones; equal
    texts by key are computed once for all who wait for them.
    """

    def __init__(self, threads: int, queue_max_ms: int) -> None:
        self._lock = threading.Lock()
        self._models: dict[Answerer, Model] = {}
        self._high, self._low = Lane(), Lane()
        self._low_since_ns = 0
        self._in_flight: dict[tuple[Model, bytes], Unit] = {}
        self._ended: list[tuple[QueuedCall, BaseException]] = []
        self._door = Door(threads, queue_max_ms)
        self._call_ns = USUAL_CALL_NS
        # How those without work are roused, the latest last: its caches are the warmest.
        self._idle: list[SimpleQueue[None]] = []
        self._is_closing = False
        self._threads = [
            threading.Thread(target=self._work, name=f"farthing-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def admit(self, tenant: str, deadline_ns: int) -> None:
        """Raises `Overloaded` or `TooManyWaiting` where a usual call would wait too long."""
        self._door.check(self._high, tenant, deadline_ns, self._call_ns)

    def submit(self, computation: Computation, done: Done) -> QueuedCall:
        """Computes it beside others; `done` is called once, on a thread that computes."""
        model = self._model(computation.answerer)
        cost_ns = model.cost_ns(computation.work.tokens)
        lane = self._low if computation.is_low else self._high
        ahead_ns = self._high.waiting_ns if computation.is_low else 0
        call = QueuedCall(computation, done, lane, self._cancel)
        units = units_of(model, computation)
        with self._lock:
            if self._is_closing:
                raise Overloaded("This instance is stopping. Try again.", retry_after=RETRY_AFTER_S)
            self._door.check(lane, computation.tenant, computation.deadline_ns, cost_ns, ahead_ns)
            self._call_ns += (cost_ns - self._call_ns) // CALL_MEMORY
            self._enqueue(call, units)
            self._rouse()
        return call

    def close(self) -> None:
        """Ends the threads once nothing waits."""
        with self._lock:
            self._is_closing = True
            while self._idle:
                self._rouse()
        for thread in self._threads:
            thread.join()

    def _model(self, answerer: Answerer) -> Model:
        model = self._models.get(answerer)
        return model or self._models.setdefault(answerer, Model(answerer))

    def _rouse(self) -> None:
        if self._idle:
            self._idle.pop().put(None)

    def _enqueue(self, call: QueuedCall, units: list[Unit]) -> None:
        waiting = []
        if call.lane is self._low and not self._low.flows:
            self._low_since_ns = time.perf_counter_ns()
        for place, unit in enumerate(units):
            cost_ns = unit.model.cost_ns(unit.tokens)
            if unit.key:
                known = self._in_flight.setdefault((unit.model, unit.key), unit)
                if known is not unit:
                    units[place] = unit = known
                    cost_ns = 0
            waiter = Waiter(call, place, cost_ns)
            unit.waiters.append(waiter)
            if unit.is_waiting:
                waiting.append((unit, waiter))
            else:
                call.share.begin(unit.tokens)
        call.units = units
        call.left = len(units)
        if waiting:
            call.lane.add(call, waiting)

    def _cancel(self, call: QueuedCall) -> bool:
        with self._lock:
            if call.is_over:
                return False
            self._drop(call)
            return True

    def _drop(self, call: QueuedCall) -> None:
        """The call is over: what only it waits for is not computed."""
        call.is_over = True
        for unit in call.units:
            if not unit.is_waiting:
                continue
            for waiter in [one for one in unit.waiters if one.call is call]:
                unit.waiters.remove(waiter)
                call.lane.leave(unit, waiter)
            if not unit.waiters:
                unit.is_waiting = False
                self._forget(unit)

    def _forget(self, unit: Unit) -> None:
        if unit.key:
            del self._in_flight[unit.model, unit.key]

    def _begin(self, unit: Unit) -> bool:
        """Whether anybody can still be answered with it; if so it waits no more."""
        back_ns = time.perf_counter_ns() + RESERVE_NS
        latest_ns = back_ns + unit.model.cost_ns(unit.tokens)
        late = {one.call: None for one in unit.waiters if one.call.deadline_ns < latest_ns}
        for call in late:
            if call.deadline_ns >= back_ns:
                unit.model.doubt()
            self._drop(call)
            self._ended.append((call, _too_late()))
        if not unit.waiters:
            return False
        unit.is_waiting = False
        for waiter in unit.waiters:
            waiter.call.lane.leave(unit, waiter)
            waiter.call.share.begin(unit.tokens)
        return True

    def _take(self) -> list[Unit]:
        if not self._low.flows:
            return self._high.take(self._ids_max, self._begin)
        now_ns = time.perf_counter_ns()
        if self._high.flows and now_ns - self._low_since_ns < LOW_TURN_NS:
            units = self._high.take(self._ids_max, self._begin)
            if units:
                return units
        self._low_since_ns = now_ns
        return self._low.take(self._ids_max, self._begin)

    def _ids_max(self, model: Model) -> int:
        """Ids that a run of the model may have: a part of what waits where other threads idle."""
        if not self._idle:
            return model.batch_ids_max
        waiting_ns = self._high.waiting_ns + self._low.waiting_ns
        part = waiting_ns // (model.ns_per_token * (1 + len(self._idle)))
        return min(model.batch_ids_max, max(PART_IDS_MIN, part))

    def _work(self) -> None:
        _give_way()
        wake: SimpleQueue[None] = SimpleQueue()
        while True:
            with self._lock:
                units = self._take()
                ended, self._ended = self._ended, []
                if not units and not ended:
                    if self._is_closing:
                        return
                    self._idle.append(wake)
                elif self._high.flows or self._low.flows:
                    self._rouse()
            for call, error in ended:
                tell(call, None, error)
            if units:
                self._compute(units)
            elif not ended:
                wake.get()

    def _compute(self, units: list[Unit]) -> None:
        started_ns = time.perf_counter_ns()
        found = run(units)
        finished: list[tuple[QueuedCall, BaseException | None]] = []
        with self._lock:
            for unit, (result, row, error) in zip(units, found, strict=True):
                self._forget(unit)
                for call, place, _ in unit.waiters:
                    call.share.end(unit.tokens)
                    if call.is_over:
                        continue
                    if error is not None:
                        self._drop(call)
                        finished.append((call, error))
                    elif call.take(place, result, row):
                        call.is_over = True
                        finished.append((call, None))
        for call, error in finished:
            tell(call, call.result, error)
        if not any(error for _, _, error in found):
            busy_ns = time.perf_counter_ns() - started_ns
            units[0].model.learn(sum(unit.tokens for unit in units), busy_ns)


def _give_way() -> None:
    """Lets the event loop go before this thread, which would have it late by as many calls as
    compute; a thread has a niceness of its own on Linux."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def _too_late() -> DeadlineTooNear:
    return DeadlineTooNear(
        "Too little time is left of this invocation to begin it. Try again, with fewer inputs or "
        "a longer timeout.",
        retry_after=RETRY_AFTER_S,
    )
