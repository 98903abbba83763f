"""The way of one invocation, once through, in one direction."""

from __future__ import annotations

import time
from collections import defaultdict
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from farthing.billing.copies import call_in_copies
from farthing.errors import Refusal
from farthing.serving import limits
from farthing.serving.accounts import warning_of
from farthing.serving.cache import open_cache
from farthing.serving.calls import Call
from farthing.serving.faults import as_refusal
from farthing.serving.house import House
from farthing.serving.instance import Counted, Instance
from farthing.serving.jobs.desk import Desk
from farthing.serving.models import pick
from farthing.serving.outcome import Outcome
from farthing.serving.pace import Pace
from farthing.serving.priced import bounded, in_headers, price_headers, server_timing, told_stages

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from farthing.billing.leases import Hold
    from farthing.billing.meter import Meter
    from farthing.billing.shares import Share, SharedTime
    from farthing.serving.accounts import Accounts, Terms
    from farthing.serving.envelope import Envelope
    from farthing.serving.ports import Answerer, Batcher, Contract, Ticket
    from farthing.settings import Settings


class Pipeline:
    """Turns a contract's payload into an answer that carries its charge.

    Refusals come back as outcomes too: priced 0, their cost booked to the house. A server gives
    it a `batcher`, on whose threads all is computed; without one a call is computed where it is
    made.
    """

    def __init__(
        self,
        settings: Settings,
        models: Mapping[str, Sequence[Answerer]],
        meter: Meter,
        shared: SharedTime,
        accounts: Accounts,
    ) -> None:
        self._settings = settings
        self._models = models
        self._meter = meter
        self._accounts = accounts
        self.instance = Instance(settings, shared)
        self._house = House(settings, self.instance, meter, accounts)
        self._open_cache()
        # A cache's threads and connections are not copied with it.
        call_in_copies(self._open_cache)
        self.batcher: Batcher | None = None
        self.desk = Desk(settings, meter, accounts)
        # By task: a change that is queued takes no time by the token, and says nothing of a search.
        self._paces: defaultdict[str, Pace] = defaultdict(Pace)

    def _open_cache(self) -> None:
        self.cache = open_cache(self._settings)

    @property
    def models(self) -> list[Answerer]:
        return [answerer for answerers in self._models.values() for answerer in answerers]

    def arrive(self) -> Share:
        """The share of an invocation that is here from now on, for its envelope."""
        return self.instance.arrive()

    def book_idle(self) -> None:
        """Keeps an entry of the house for the time in which nobody was present."""
        self._house.book_idle()

    def invoke(self, contract: Contract, payload: bytes | Any, envelope: Envelope) -> Outcome:
        """The outcome for a JSON body (bytes) or an already parsed event."""
        call = self.begin(contract, payload, envelope)
        if isinstance(call, Outcome):
            return call
        if self.batcher is not None:
            return self._wait(call)
        answerer, work, guard = call.computation()[:3]
        try:
            call.share.compute(call.tokens_left)
            computed = answerer.compute(work, before_batch=guard)
            call.share.wait()
        except Exception as error:
            return self.fail(call, error)
        return self.finish(call, computed)

    def begin(self, contract: Contract, payload: bytes | Any, envelope: Envelope) -> Call | Outcome:
        """The invocation admitted and ready to compute, or its outcome where nothing is to be:
        a refusal, a job, an answer that the cache had.

        May wait for budgets' store and for a cache on another machine.
        """
        share = envelope.share or self.arrive()
        try:
            call = self._begin(contract, payload, envelope, share)
        except Exception as error:
            return self._house.refused(as_refusal(error, envelope.request_id), envelope, share)
        if isinstance(call, Outcome):
            return call
        return self.finish(call, None) if call.is_answered else call

    def submit(self, call: Call, reply: Callable[[Outcome], None]) -> Ticket | Outcome:
        """Has the call computed beside others: `reply` is told the outcome, on a thread that
        computes. Gives the outcome itself where the call is refused at once.
        """
        if self.batcher is None:
            raise RuntimeError("A pipeline without a batcher computes in `invoke`.")

        def done(computed: Any, error: BaseException | None) -> None:
            reply(self.finish(call, computed) if error is None else self.fail(call, error))

        try:
            return self.batcher.submit(call.computation(), done)
        except Refusal as refusal:
            return self.fail(call, refusal)

    def finish(self, call: Call, computed: Any) -> Outcome:
        """The outcome of a call, given what was left of it to compute."""
        try:
            return self._finish(call, computed)
        except Exception as error:
            return self.fail(call, error)

    def fail(self, call: Call, error: BaseException) -> Outcome:
        """The outcome of a call that could not be computed, or whose caller left."""
        if call.hold is not None:
            call.hold.release()
        refusal = as_refusal(error, call.envelope.request_id)
        return self._house.refused(refusal, call.envelope, call.share)

    def refuse(self, refusal: Refusal, envelope: Envelope) -> Outcome:
        """The outcome for an invocation that was refused before its payload was known."""
        return self._house.refused(refusal, envelope, envelope.share or self.arrive())

    def ping(self, envelope: Envelope, hold_ms: int) -> Outcome:
        """The outcome of an event that asks for nothing but that the instance is there."""
        return self._house.pong(envelope, envelope.share or self.arrive(), hold_ms)

    def _begin(
        self, contract: Contract, payload: bytes | Any, envelope: Envelope, share: Share
    ) -> Call | Outcome:
        started_ns = time.perf_counter_ns()
        terms = self._accounts.enter(envelope, contract.task)
        request = limits.read_request(payload, contract.request_type)
        answerer: Any = pick(self._models[contract.answered_by], contract, request)
        is_low = getattr(request, "priority", None) == "low"
        if self.cache is not None and contract.is_cached and not is_low:
            answerer = self.cache.over(answerer, envelope.tenant)
        work = contract.work(request, answerer, self._settings)
        if is_low:
            return self._queued(contract, request, answerer, work.tokens, envelope, terms, share)
        call = Call(
            contract, request, answerer, work, envelope, share, terms, self._paces[contract.task]
        )
        call.started_ns, call.prepared_ns = started_ns, time.perf_counter_ns()
        call.pace.check(envelope, call.tokens_left)
        spent_ns = call.prepared_ns - started_ns
        expected_ns = spent_ns + call.pace.expect_ns(call.tokens_left)
        call.hold = self._admit(call, expected_ns)
        return call

    def _wait(self, call: Call) -> Outcome:
        """The outcome of a call that others compute while this thread waits."""
        ended: SimpleQueue[Outcome] = SimpleQueue()
        refused = self.submit(call, ended.put)
        return refused if isinstance(refused, Outcome) else ended.get()

    def _finish(self, call: Call, computed: Any) -> Outcome:
        share, envelope, counted = call.share, call.envelope, call.counted
        computed_ns = time.perf_counter_ns()
        compute_ns = computed_ns - call.prepared_ns
        if not call.is_answered:
            call.pace.learn(call.tokens_left, compute_ns)
        result = call.complete(computed)
        answer = call.contract.answer(call.request, call.answerer, result, envelope.request_id)
        usage = self.instance.spent(envelope, counted, share)
        cost = self._meter.cost(usage)
        price = call.terms.plan.price(cost, usage)
        price, cap_pico = bounded(price, call.terms.plan, envelope.accepted, call.hold)
        self._accounts.record(
            envelope,
            usage,
            "answer",
            status=answer.status,
            task=call.contract.task,
            model=call.answerer.name,
            plan=call.terms.id,
            hold=call.hold,
            price_max_pico=cap_pico,
        )
        headers = price_headers(envelope, price, counted.tokens) | warning_of(call.hold)
        spent_ns = call.prepared_ns - call.started_ns
        stages_ns, cache = answer.stages_ns, counted.cache
        headers["Server-Timing"] = server_timing(spent_ns, compute_ns, stages_ns, cache)
        told_usage, charge = usage.as_json(cost.billed_ms), price.as_json()
        if answer.stages_ns is not None:
            elapsed_ns = time.perf_counter_ns() - call.started_ns
            billed_ns = self._meter.billed_ns(usage)
            charge["stages"] = told_stages(price, usage, billed_ns, answer.stages_ns, elapsed_ns)
        if answer.models is not None:
            charge["models"] = dict(answer.models)
        body = answer.body
        if isinstance(body, dict):
            body["usage"], body["charge"] = told_usage, charge
        else:
            headers |= in_headers(told_usage, charge)
        tenant = envelope.tenant
        return Outcome(answer.status, body, headers, usage, cost, price, booked_to=tenant)

    def _queued(
        self,
        contract: Contract,
        request: Any,
        answerer: Answerer,
        tokens: int,
        envelope: Envelope,
        terms: Terms,
        share: Share,
    ) -> Outcome:
        """The outcome for a request that may wait: a job, and what it will be sold for at most."""
        busy_ns = self._paces[contract.task].bound_ns(tokens)
        expected = self.instance.expected_warm(envelope, Counted(tokens), busy_ns)
        job = self.desk.accept(contract, request, answerer, envelope, terms, expected)
        return self._house.accepted(job, envelope, share)

    def _admit(self, call: Call, busy_ns: int) -> Hold | None:
        """So much of the budget as the call will cost at this instance's best pace, held.

        What it costs beyond is taken afterwards.
        """
        if not self._accounts.has_budgets:
            return None
        usage = self.instance.expected(call.envelope, call.counted, busy_ns)
        price = call.terms.plan.price(self._meter.cost(usage), usage)
        return self._accounts.admit(call.envelope, price.total)
