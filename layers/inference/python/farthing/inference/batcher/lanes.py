"""What waits for a thread, in an order that is fair to tenants and to each of their calls."""

from __future__ import annotations

from collections import Counter, defaultdict
from heapq import heapify, heappop, heappush, heapreplace
from itertools import count
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from farthing.inference.batcher.units import Model, QueuedCall, Unit, Waiter

    Entry = tuple[int, int, int, Unit]
    Kind = tuple[Model, int]

# Ids of padding that a run may have, as a part of its ids: so many cost about what another run
# would, by itself and before its first text.
PADDING_PART = 16

# Parts of a token, so that many can have an equal share of one.
GRAINS = 1 << 16
# Tenants remembered without anything waiting; beyond, all are forgiven what they were ahead.
TAGS_MAX = 4096

_tag = attrgetter("tag")


class Flow:
    """One tenant's waiting units.

    `tag` is what it was given, in parts of a token, `virtual` how much of that each of its calls
    should have had: one that comes now starts there, so that it passes the rest of a long one,
    and a long one's texts have their turns however many come after it.
    """

    __slots__ = (
        "calls", "entries", "live", "of_length", "tag", "tenant", "virtual", "waiting_ns",
    )  # fmt: skip

    def __init__(self, tenant: str, tag: int) -> None:
        self.tenant = tenant
        self.tag = tag
        self.virtual = 0
        self.waiting_ns = 0
        self.calls = 0
        self.entries: list[Entry] = []
        # Entries stay in both heaps until they are met there; how many still wait is counted.
        self.of_length: defaultdict[Kind, list[Entry]] = defaultdict(list)
        self.live: Counter[Kind] = Counter()

    def add(self, entry: Entry) -> None:
        unit = entry[3]
        kind = unit.model, unit.length
        heappush(self.entries, entry)
        heappush(self.of_length[kind], entry)
        self.live[kind] += 1

    def leave(self, unit: Unit) -> None:
        """One that was added does not wait any more."""
        kind = unit.model, unit.length
        self.live[kind] -= 1
        if not self.live[kind]:
            del self.live[kind], self.of_length[kind]

    def next(self) -> Unit:
        """The unit whose turn it is; there is one as long as the tenant has calls."""
        while True:
            place, _, _, unit = heappop(self.entries)
            if unit.is_waiting:
                self.virtual = max(self.virtual, place)
                return unit

    def next_of(self, kind: Kind) -> Unit | None:
        """The first unit of a model that is so long."""
        while kind in self.live:
            unit = heappop(self.of_length[kind])[3]
            if unit.is_waiting:
                return unit
        return None


class Lane:
    """Start-time fair queueing: the tenant that was given the fewest tokens is next.

    After Goyal, Vin and Cheng, "Start-time Fair Queuing", 1996, with the clock of a server that
    is shared at each instant. Within a tenant calls are treated likewise, and the earlier deadline
    is first among equals. The caller holds the lock.
    """

    def __init__(self) -> None:
        self.waiting_ns = 0
        self.flows: dict[str, Flow] = {}
        self._virtual = 0
        # What tenants with nothing waiting were given beyond the others.
        self._tags: dict[str, int] = {}
        self._lengths: defaultdict[Model, Counter[int]] = defaultdict(Counter)
        self._order = count()

    def add(self, call: QueuedCall, units: Iterable[tuple[Unit, Waiter]]) -> None:
        """The call waits for these units, in this order."""
        tenant = call.computation.tenant
        flow = self.flows.get(tenant)
        if flow is None:
            tag = max(self._virtual, self._tags.pop(tenant, 0))
            flow = self.flows[tenant] = Flow(tenant, tag)
        call.flow = flow
        flow.calls += 1
        place = flow.virtual
        for unit, waiter in units:
            flow.add((place, call.deadline_ns, next(self._order), unit))
            place += unit.tokens * GRAINS
            flow.waiting_ns += waiter.cost_ns
            self.waiting_ns += waiter.cost_ns
            self._lengths[unit.model][unit.length] += 1
            call.waiting += 1

    def leave(self, unit: Unit, waiter: Waiter) -> None:
        """The waiter's unit does not wait any more, or the waiter does not for it."""
        call, flow = waiter.call, waiter.call.flow
        self.waiting_ns -= waiter.cost_ns
        flow.waiting_ns -= waiter.cost_ns
        flow.leave(unit)
        lengths = self._lengths[unit.model]
        lengths[unit.length] -= 1
        if not lengths[unit.length]:
            del lengths[unit.length]
        call.waiting -= 1
        if call.waiting:
            return
        flow.calls -= 1
        if flow.calls == 0:
            del self.flows[flow.tenant]
            if not self.flows:
                self._virtual = 0
                self._tags.clear()
            elif flow.tag > self._virtual:
                if len(self._tags) >= TAGS_MAX:
                    self._tags.clear()
                self._tags[flow.tenant] = flow.tag

    def take(self, ids_max: Callable[[Model], int], begin: Callable[[Unit], bool]) -> list[Unit]:
        """The next run's units; [] where nothing waits that `begin` lets be computed.

        A run has the unit whose turn it is and others of its model, those near to it in length
        first, up to `ids_max` ids, padding included.
        """
        while self.flows:
            flow = min(self.flows.values(), key=_tag)
            self._virtual = max(self._virtual, flow.tag)
            head = flow.next()
            self._charge(flow, head)
            if begin(head):
                return self._gather(head, ids_max(head.model), begin)
        return []

    def _charge(self, flow: Flow, unit: Unit) -> None:
        """Tokens that a tenant is given; who comes now starts where all of them stand by then."""
        given = unit.tokens * GRAINS
        flow.tag += given
        flow.virtual += given // max(1, flow.calls)
        self._virtual += given // max(1, len(self.flows))

    def _gather(self, head: Unit, ids_max: int, begin: Callable[[Unit], bool]) -> list[Unit]:
        units, model, longest, ids = [head], head.model, head.length, head.length
        if model.sharing == "alone":
            return units
        padding_max = ids_max // PADDING_PART
        lengths = list(self._lengths[model])
        if model.sharing == "equal":
            lengths = [head.length] if head.length in lengths else []
        for length in sorted(lengths, key=lambda length: abs(length - head.length)):
            taken = self._fairly((model, length))
            width = max(longest, length)
            whole = (len(units) + 1) * width
            while whole <= ids_max and whole - ids - length <= padding_max:
                unit = next(taken, None)
                if unit is None:
                    break
                if begin(unit):
                    units.append(unit)
                    longest = width
                    ids += length
                    whole += width
        return units

    def _fairly(self, kind: Kind) -> Iterator[Unit]:
        """Units of one model and length, each from the tenant that was given least."""
        flows = [
            (flow.tag, number, flow)
            for number, flow in enumerate(self.flows.values())
            if kind in flow.live
        ]
        heapify(flows)
        while flows:
            _, number, flow = flows[0]
            unit = flow.next_of(kind)
            if unit is None:
                heappop(flows)
                continue
            self._charge(flow, unit)
            heapreplace(flows, (flow.tag, number, flow))
            yield unit
