"""`GET /v1/usage`: what a key's own tenant used, and what it was sold for."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response

from farthing.billing.invoices import By, usage_of
from farthing.billing.periods import read_days
from farthing.billing.rollups import entries_of
from farthing.billing.valuation import Valuer
from farthing.errors import (
    BudgetUnknown,
    InvalidRequest,
    LedgerError,
    Refusal,
    StoreUnavailable,
    UnknownRoute,
)
from farthing.money import plain, total
from farthing.serving.exchange import JSON, Reply, authorised, reply_with
from farthing.serving.workers import beside

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from farthing.billing.periods import Period
    from farthing.serving.envelope import Envelope
    from farthing.serving.service import Service

USAGE_PATH = "/v1/usage"
SCOPE = "usage"
DAYS_MAX = 31
GROUPS: tuple[By, ...] = ("day", "task", "model")
RETRY_AFTER_S = "5"


async def answer_usage(service: Service, request: Request) -> Response:
    """The route's answer. `since` and `until` are UTC days, both included, today by default.

    Auth: as the contracts, with the scope `usage`; a key sees its own tenant only.
    """
    envelope = service.platform.envelope(request.scope)
    try:
        envelope = authorised(service, request.headers, envelope)
        query = dict(request.query_params)
        reply = await beside(service, lambda: _answer(service, envelope, query))
    except Refusal as refusal:
        reply = reply_with(service.pipeline.refuse(refusal, envelope))
    return Response(reply.body, reply.status, headers=reply.headers)


def _answer(service: Service, envelope: Envelope, query: Mapping[str, str]) -> Reply:
    accounts = service.accounts
    accounts.enter(envelope, SCOPE)
    accounts.refuse_revoked(envelope)
    by, period = _read(query)
    if accounts.store is None:
        raise UnknownRoute(
            "This service keeps no ledger, so there is no usage to show. Set FARTHING_LEDGER."
        )
    try:
        entries = entries_of(accounts.store, period, envelope.tenant)
        found = usage_of(entries, Valuer(accounts.plans), period, by)
    except StoreUnavailable:
        raise BudgetUnknown(
            "The ledger does not answer just now. Try again later.", retry_after=RETRY_AFTER_S
        ) from None
    rows = found.get(envelope.tenant, [])
    used = {
        "tenant": envelope.tenant,
        "since": period.since,
        "until": period.until - dt.timedelta(days=1),
        "by": by,
        "calls": sum(row.calls for row in rows),
        "currency": "USD",
        "total": plain(total(row.price for row in rows)),
        "rows": [row.as_json() for row in rows],
    }
    headers = {"Content-Type": JSON, "X-Request-Id": envelope.request_id}
    return Reply(200, headers, msgspec.json.encode(used))


def _read(query: Mapping[str, str]) -> tuple[By, Period]:
    """Grouping and period. Raises `InvalidRequest`."""
    unknown = query.keys() - {"since", "until", "by"}
    by = next((group for group in GROUPS if group == query.get("by", "day")), None)
    if unknown or by is None:
        raise InvalidRequest(
            f"{USAGE_PATH} takes since, until (UTC days) and by ({', '.join(GROUPS)}). "
            "Leave out what it does not take."
        )
    today = dt.datetime.now(tz=dt.UTC).date().isoformat()
    since = query.get("since", query.get("until", today))
    try:
        period = read_days(since, query.get("until", max(since, today)))
    except LedgerError as error:
        raise InvalidRequest(str(error)) from None
    if period.until - period.since > dt.timedelta(days=DAYS_MAX):
        raise InvalidRequest(
            f"One request shows at most {DAYS_MAX} days. Ask for them in parts, or run "
            "`farthing bill usage`."
        )
    return by, period
