"""The way of one invocation, once through, in one direction."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.billing.meter import HOUSE, Charge
from farthing.billing.plans import capped
from farthing.errors import InternalFault, Refusal, UnknownModel
from farthing.money import plain
from farthing.serving import limits
from farthing.serving.accounts import warning_of
from farthing.serving.envelope import generate_envelope
from farthing.serving.pace import Pace
from farthing.usage import NS_PER_MS, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farthing.billing.leases import Hold
    from farthing.billing.meter import Meter
    from farthing.billing.shares import Share, SharedTime
    from farthing.serving.accounts import Accounts, Terms
    from farthing.serving.envelope import Envelope
    from farthing.serving.ports import Answerer, Contract
    from farthing.settings import Settings

log = logging.getLogger("farthing")


class Outcome(msgspec.Struct, frozen=True):
    """An invocation's end: what to send, what it cost, what it is sold for and to whom booked."""

    status: int
    body: dict[str, object]
    headers: dict[str, str]
    usage: Usage
    cost: Charge
    price: Charge
    booked_to: str


class Pipeline:
    """Turns a contract's payload into an answer that carries its charge.

    Refusals come back as outcomes too: priced 0, their cost booked to the house.
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
        self._shared = shared
        self._accounts = accounts
        self._first = threading.Lock()
        self._init_ns = 0
        self._restored = False
        self._pace = Pace()

    @property
    def models(self) -> list[Answerer]:
        return [answerer for answerers in self._models.values() for answerer in answerers]

    def started(self, init_ns: int) -> None:
        """The instance took this long to start; the first invocation carries it."""
        self._init_ns = init_ns

    def snapshot(self) -> None:
        """The instance is about to be copied; each copy's first invocation carries its restore."""
        self._restored = True

    def arrive(self) -> Share:
        """The share of an invocation that is here from now on, for its envelope."""
        return self._shared.enter()

    def book_idle(self) -> None:
        """Keeps an entry of the house for the time in which nobody was present."""
        envelope = generate_envelope(self._settings.timeout_ms, HOUSE)
        usage = self._sized(envelope, 0, 0, self._shared.take_idle_ns(), 0, restored=False)
        self._accounts.record(envelope, usage, "idle", status=200)

    def invoke(self, contract: Contract, payload: bytes | Any, envelope: Envelope) -> Outcome:
        """The outcome for a JSON body (bytes) or an already parsed event."""
        share = envelope.share or self.arrive()
        try:
            return self._answer(contract, payload, envelope, share)
        except Refusal as refusal:
            return self._refused(refusal, envelope, share)
        except Exception as fault:
            # Where, not what: an exception's text may quote the input.
            log.error(
                "invocation %s failed: %s at\n%s",
                envelope.request_id,
                type(fault).__name__,
                "".join(traceback.format_tb(fault.__traceback__)),
            )
            return self._refused(
                InternalFault(
                    f"Invocation {envelope.request_id} failed inside Farthing; nothing is charged. "
                    "Try again, and report the id if it persists."
                ),
                envelope,
                share,
            )

    def refuse(self, refusal: Refusal, envelope: Envelope) -> Outcome:
        """The outcome for an invocation that was refused before its payload was known."""
        return self._refused(refusal, envelope, envelope.share or self.arrive())

    def _answer(
        self, contract: Contract, payload: bytes | Any, envelope: Envelope, share: Share
    ) -> Outcome:
        started_ns = time.perf_counter_ns()
        terms = self._accounts.enter(envelope, contract.task)
        request = limits.read_request(payload, contract.request_type)
        answerer = self._pick(contract.task, getattr(request, "model", None))
        texts = contract.texts(request)
        limits.check_inputs(texts, self._settings)
        contract.check(request, answerer)
        limits.check_answer_fits(contract, request, answerer, len(texts), self._settings)
        work = answerer.prepare(texts)
        prepared_ns = time.perf_counter_ns()

        self._pace.check(envelope, work.tokens)
        spent_ns = prepared_ns - started_ns
        hold = self._admit(envelope, terms, work.tokens, spent_ns)
        try:
            share.compute(work.tokens)
            rows = answerer.compute(work, before_batch=self._pace.guard(envelope))
            share.wait()
            computed_ns = time.perf_counter_ns()
            self._pace.learn(work.tokens, computed_ns - prepared_ns)
            body = contract.answer(request, answerer, rows)
            usage = self._usage(share, envelope, work.tokens, work.truncated)
            cost = self._meter.cost(usage)
            price = terms.plan.price(cost, usage)
        except BaseException:
            if hold is not None:
                hold.release()
            raise

        cap_pico = None if hold is None else hold.settle(price.total)
        if cap_pico is not None:
            price = capped(price, cap_pico)
        self._accounts.record(
            envelope,
            usage,
            "answer",
            status=200,
            task=contract.task,
            model=answerer.name,
            plan=terms.id,
            hold=hold,
            price_max_pico=cap_pico,
        )
        body["usage"] = usage.as_json(cost.billed_ms)
        body["charge"] = price.as_json()
        timing = (
            f"prepare;dur={spent_ns / NS_PER_MS:.3f}, "
            f"compute;dur={(computed_ns - prepared_ns) / NS_PER_MS:.3f}"
        )
        headers = _price_headers(envelope, price, work.tokens) | {"Server-Timing": timing}
        headers |= warning_of(hold)
        return Outcome(200, body, headers, usage, cost, price, booked_to=envelope.tenant)

    def _admit(self, envelope: Envelope, terms: Terms, tokens: int, spent_ns: int) -> Hold | None:
        """So much of the budget as the call will cost at this instance's best pace, held.

        What it costs beyond is taken afterwards.
        """
        if not self._accounts.has_budgets:
            return None
        busy_ns = spent_ns + self._pace.expect_ns(tokens)
        usage = self._sized(envelope, tokens, 0, busy_ns, self._init_ns, restored=self._restored)
        price = terms.plan.price(self._meter.cost(usage), usage)
        return self._accounts.admit(envelope, price.total)

    def _refused(self, refusal: Refusal, envelope: Envelope, share: Share) -> Outcome:
        usage = self._usage(share, envelope, 0, 0)
        cost = self._meter.cost(usage)
        price = self._meter.nothing()
        self._accounts.record(envelope, usage, "refusal", status=refusal.status)
        body = refusal.problem() | {"instance": envelope.request_id, "charge": price.as_json()}
        headers = _price_headers(envelope, price, 0) | refusal.headers
        return Outcome(refusal.status, body, headers, usage, cost, price, booked_to=HOUSE)

    def _pick(self, task: str, name: str | None) -> Answerer:
        answerers = self._models[task]
        if name is None:
            return answerers[0]
        for answerer in answerers:
            if answerer.name == name:
                return answerer
        known = ", ".join(answerer.name for answerer in answerers)
        raise UnknownModel(
            f"`model` names a model that is not served here; for this route there is {known}. "
            "Use one of those, or leave model out."
        )

    def _usage(self, share: Share, envelope: Envelope, tokens: int, truncated: int) -> Usage:
        with self._first:
            init_ns, self._init_ns = self._init_ns, 0
            restored, self._restored = self._restored, False
        return self._sized(envelope, tokens, truncated, share.leave(), init_ns, restored=restored)

    def _sized(
        self,
        envelope: Envelope,
        tokens: int,
        truncated: int,
        busy_ns: int,
        init_ns: int,
        *,
        restored: bool,
    ) -> Usage:
        settings = self._settings
        return Usage(
            prompt_tokens=tokens,
            truncated=truncated,
            busy_ns=busy_ns,
            init_ns=init_ns,
            memory_mb=envelope.memory_mb or settings.memory_mb,
            vcpu_milli=settings.vcpu_milli,
            disk_mb=settings.disk_mb,
            cold=init_ns > 0 or restored,
            restored=restored,
        )


def _price_headers(envelope: Envelope, price: Charge, tokens: int) -> dict[str, str]:
    """The price in our own dialect and in the one that LiteLLM reads from any upstream."""
    amount = plain(price.total)
    return {
        "X-Request-Id": envelope.request_id,
        "X-Farthing-Cost-USD": amount,
        "X-Litellm-Response-Cost": amount,
        "X-Litellm-Total-Tokens": str(tokens),
    }
