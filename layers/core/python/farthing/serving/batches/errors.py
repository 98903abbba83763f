"""What callers of files and batches are refused for, beside what every route refuses.

Refusal
├── UnknownObject      404
├── BatchSettled       409
└── StoreUnreachable   503
"""

from __future__ import annotations

from farthing.errors import Refusal


class UnknownObject(Refusal):
    status, code, title = 404, "unknown-object", "There is no such file or batch"


class BatchSettled(Refusal):
    status, code, title = 409, "batch-settled", "The batch has come to its end"


class StoreUnreachable(Refusal):
    status, code, title = 503, "store-unreachable", "Files cannot be kept or read"
