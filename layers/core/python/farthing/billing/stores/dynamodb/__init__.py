"""A ledger in one DynamoDB table, on demand: HASH `pk` (S), RANGE `sk` (S), nothing else.

    pk                      sk                                 what
    entries#2026-11-22T05   WRITER#0000000001#DIGEST           a page of entries
    records#2026-11-22T05   0001795324800000#DIGEST            a page of the provider's records
    hours#entries           2026-11-22T05                      an hour that has pages
    roots                   TENANT#0000000001                  a signed root
    marks                   NAME                               a reader's place
    tenants                 NAME                               a tenant
    counters#TENANT         2026-11-22                         a budget's window
    leases                  ID                                 a lease that is open

A write costs by the kilobyte and at least one, so that an item for each entry would cost more
than the answer it bills; pages are groups, compressed. A million entries in groups of 100 take
50,000 write units, in groups of 1,000 41,000 ($0.031 and $0.026 in us-east-1). A lease takes 2 for
itself and 2 for each window, and so does its settlement.

A function's role needs dynamodb:GetItem, BatchGetItem, Query, PutItem, UpdateItem, DeleteItem.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from farthing.billing.stores.aws import DynamoDbClient
from farthing.billing.stores.credentials import credentials_of
from farthing.billing.stores.dynamodb.budgets import DynamoDbBudgets
from farthing.billing.stores.dynamodb.pages import DynamoDbLedger
from farthing.billing.stores.dynamodb.table import Table
from farthing.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping


def open_store(url: str, environ: Mapping[str, str] = os.environ) -> DynamoDbStore:
    """The store at `dynamodb://TABLE[?region=REGION][&endpoint=URL]`; asks for nothing yet.

    Raises `SettingsError` for an address without table or region, or without an access key.
    """
    address = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(address.query).items()}
    region = query.get("region") or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    if not address.netloc or not region:
        raise SettingsError(
            "FARTHING_LEDGER names no DynamoDB table in a region. Use "
            "dynamodb://TABLE?region=REGION, or set AWS_REGION."
        )
    client = DynamoDbClient(region, credentials_of(environ), query.get("endpoint", ""))
    return DynamoDbStore(Table(address.netloc, client))


class DynamoDbStore(DynamoDbLedger, DynamoDbBudgets):
    """Both halves on one table."""

    def __init__(self, table: Table) -> None:
        DynamoDbLedger.__init__(self, table)

    def close(self) -> None:
        self._table.close()
