"""Everything that Farthing raises on purpose.

    FarthingError
    ├── LedgerError                the ledger cannot do what an operator asked
    │   ├── StoreUnavailable
    │   └── LedgerMissing
    ├── StartupError               refuses to start; the operator reads it
    │   ├── SettingsError
    │   ├── PriceMissing
    │   ├── BundleMissing
    │   ├── BundleCorrupt
    │   ├── BundleTooNew
    │   ├── FileMissing            what is kept in files and buckets: see farthing.storage
    │   ├── FileArchived
    │   ├── NameInvalid
    │   ├── PublishConflict
    │   └── StorageUnavailable
    └── Refusal                    refuses one invocation; the caller reads it, nothing is charged
        ├── MalformedBody          400
        ├── Unauthorized           401
        ├── BudgetSpent            402
        ├── Forbidden              403
        ├── UnknownRoute           404
        ├── UnknownModel           404
        ├── MethodNotAllowed       405
        ├── BodyTooSlow            408
        ├── BodyTooLarge           413
        ├── InputTooLong           413
        ├── AnswerTooLarge         413
        ├── UnsupportedMediaType   415
        ├── InvalidRequest         422
        ├── RateExceeded           429
        ├── TooManyWaiting         429
        ├── CallerGone             499
        ├── InternalFault          500
        ├── DeadlineTooNear        503
        ├── Overloaded             503
        └── BudgetUnknown          503

Layers hang leaves of their own below these (the forge's missing data, say).

A message says what was asked, what is so and what to do; it never repeats an input or a secret.
"""

from __future__ import annotations

from typing import ClassVar


class FarthingError(Exception):
    """The root: catch this to catch everything Farthing raises on purpose."""


class LedgerError(FarthingError):
    """The ledger cannot do what it was asked."""


class StoreUnavailable(LedgerError):
    """The ledger's store does not answer."""


class LedgerMissing(LedgerError):
    """There is no ledger at that address."""


class StartupError(FarthingError):
    """The process must not serve with what it was given."""


class SettingsError(StartupError):
    """A setting is missing, malformed or contradicts another."""


class PriceMissing(StartupError):
    """The price book has no row for what would be billed."""


class BundleMissing(StartupError):
    """A bundle, or one of its files, is not where it was asked for."""


class BundleCorrupt(StartupError):
    """A bundle's files are not those that its manifest describes."""


class BundleTooNew(StartupError):
    """A bundle's manifest has a later format than this version reads."""


class FileMissing(StartupError):
    """A file is not where it was asked for."""


class FileArchived(StartupError):
    """A file lies in an archive, hours from being readable."""


class NameInvalid(StartupError):
    """What was to name a file of a storage cannot."""


class PublishConflict(StartupError):
    """Another writer was first."""


class StorageUnavailable(StartupError):
    """A storage does not answer, or does not take what is written."""


class Refusal(FarthingError):
    """One invocation is not answered; its price is 0 and its cost goes to the house."""

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]

    def __init__(
        self, detail: str, members: dict[str, object] | None = None, **headers: str
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.members = members or {}
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def problem(self) -> dict[str, object]:
        """The problem document of RFC 9457; its member `error` is where OpenAI clients look.

        `members` are the refusal's own, for programs that act on it: what is left, say.
        """
        kind = f"urn:farthing:problem:{self.code}"
        return {
            "type": kind,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.members,
            "error": {"message": self.detail, "type": kind, "code": self.code},
        }


class MalformedBody(Refusal):
    status, code, title = 400, "malformed-body", "The body is not JSON"


class Unauthorized(Refusal):
    status, code, title = 401, "unauthorized", "A valid key is needed"


class BudgetSpent(Refusal):
    status, code, title = 402, "budget-spent", "The budget is spent"


class Forbidden(Refusal):
    status, code, title = 403, "forbidden", "The key does not reach this"


class UnknownRoute(Refusal):
    status, code, title = 404, "unknown-route", "There is no such route"


class UnknownModel(Refusal):
    status, code, title = 404, "unknown-model", "There is no such model"


class MethodNotAllowed(Refusal):
    status, code, title = 405, "method-not-allowed", "The route has other methods"


class BodyTooSlow(Refusal):
    status, code, title = 408, "body-too-slow", "The body did not come in time"


class BodyTooLarge(Refusal):
    status, code, title = 413, "body-too-large", "The body is too large"


class InputTooLong(Refusal):
    status, code, title = 413, "input-too-long", "An input is too long"


class AnswerTooLarge(Refusal):
    status, code, title = 413, "answer-too-large", "The answer would be too large"


class UnsupportedMediaType(Refusal):
    status, code, title = 415, "unsupported-media-type", "The body has the wrong content type"


class InvalidRequest(Refusal):
    status, code, title = 422, "invalid-request", "The request is not valid"


class RateExceeded(Refusal):
    status, code, title = 429, "rate-exceeded", "The key calls too often"


class TooManyWaiting(Refusal):
    status, code, title = 429, "too-many-waiting", "Too many of the caller's calls wait"


class CallerGone(Refusal):
    status, code, title = 499, "caller-gone", "The caller left before its answer"


class InternalFault(Refusal):
    status, code, title = 500, "internal-fault", "Farthing failed"


class DeadlineTooNear(Refusal):
    status, code, title = 503, "deadline-too-near", "There is too little time left to answer"


class Overloaded(Refusal):
    status, code, title = 503, "overloaded", "More calls wait than can be answered in time"


class BudgetUnknown(Refusal):
    status, code, title = 503, "budget-unknown", "The budget cannot be asked"
