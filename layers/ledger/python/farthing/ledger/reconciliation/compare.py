"""The comparison: ours against theirs, what explains the difference, and what does not."""

from __future__ import annotations

from collections import Counter, defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.ledger.reconciliation import alibaba, cur
from farthing.ledger.reconciliation.ours import Ours, ours_of
from farthing.money import ZERO, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from farthing.ledger.reconciliation.lines import BillLine
    from farthing.ledger.settlement.settle import Settlement

PRODUCTS = {cur.PRODUCT, alibaba.PRODUCT}
# Exports round to ten digits; rates that are nearer than this are one.
ROUNDING_USD = Decimal("0.0000000051")
RATE_SHARE = Decimal("0.0001")
# Lambda's free tier, all functions and architectures of the account together.
FREE = {"Request": Decimal(1_000_000), "Lambda-GB-Second": Decimal(400_000)}
HOURS_NAMED = 3


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One function and item. `explained` are dollars by reason; what is left is `unexplained_usd`,
    of which `notes` say what there is to say."""

    function: str
    item: str
    ours: Decimal
    theirs: Decimal
    ours_usd: Decimal
    theirs_usd: Decimal
    explained: dict[str, Decimal]
    unexplained_usd: Decimal
    notes: tuple[str, ...]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """`adjustments` are lines that are no usage (credits, discounts, tax), in dollars by kind;
    `foreign` are functions without the tag that the ledger does not know; `lines` were compared."""

    rows: tuple[Row, ...]
    adjustments: dict[str, Decimal]
    foreign: dict[str, Decimal]
    lines: int

    @property
    def unexplained_usd(self) -> Decimal:
        """All that nothing explains, whichever way it goes."""
        return sum((abs(row.unexplained_usd) for row in self.rows), start=ZERO)

    def as_json(self) -> dict[str, Any]:
        document = msgspec.structs.asdict(self) | {"unexplained_usd": self.unexplained_usd}
        return _plain(document)  # type: ignore[no-any-return]


def compare(
    settlement: Settlement,
    lines: Iterable[BillLine],
    month: str,
    tag: tuple[str, str] | None = None,
) -> Comparison:
    """A month's settlement beside its export.

    With a tag, functions that do not bear it and that the ledger does not know are somebody
    else's. May raise `ExportUnusable` while it reads.
    """
    ours = ours_of(settlement)
    functions = {function for function, _ in ours}
    theirs: dict[tuple[str, str], list[BillLine]] = defaultdict(list)
    adjustments: dict[str, Decimal] = defaultdict(lambda: ZERO)
    foreign: dict[str, Decimal] = defaultdict(lambda: ZERO)
    count = 0
    for line in lines:
        if line.product not in PRODUCTS or not line.began.startswith(month):
            continue
        count += 1
        is_tagged = tag is None or line.tags.get(tag[0]) == tag[1]
        if not is_tagged and line.function not in functions:
            foreign[line.function or "(no function)"] += line.usd
        elif line.kind != "usage":
            adjustments[line.kind] += line.usd
        else:
            theirs[line.function, line.item].append(line)
    freed: Counter[str] = Counter()
    rows = tuple(
        _row(key, ours.get(key), theirs.get(key, []), tag, freed)
        for key in sorted(ours.keys() | theirs.keys())
    )
    return Comparison(rows=rows, adjustments=dict(adjustments), foreign=dict(foreign), lines=count)


def _row(
    key: tuple[str, str],
    ours: Ours | None,
    lines: list[BillLine],
    tag: tuple[str, str] | None,
    freed: Counter[str],
) -> Row:
    theirs = sum((line.quantity for line in lines), start=ZERO)
    theirs_usd = sum((line.usd for line in lines), start=ZERO)
    explained: dict[str, Decimal] = defaultdict(lambda: ZERO)
    notes: list[str] = []
    if ours is None:
        notes.append("the ledger has nothing of this")
        unexplained = theirs_usd
    else:
        unexplained = _by_rate(key[1], ours, lines, explained, notes, freed)
        more_usd = (theirs - ours.quantity) * ours.rate
        if abs(more_usd) <= ROUNDING_USD * max(1, len(lines)):
            explained["rounding"] += more_usd
        else:
            unexplained += more_usd
            notes += _why(ours, lines)
    if tag is not None and any(line.tags.get(tag[0]) != tag[1] for line in lines):
        notes.append(f"not tagged {tag[0]}={tag[1]}")
    return Row(
        function=key[0],
        item=key[1],
        ours=ours.quantity if ours else ZERO,
        theirs=theirs,
        ours_usd=ours.usd if ours else ZERO,
        theirs_usd=theirs_usd,
        explained={reason: usd for reason, usd in explained.items() if usd},
        unexplained_usd=unexplained,
        notes=tuple(notes),
    )


def _by_rate(
    item: str,
    ours: Ours,
    lines: list[BillLine],
    explained: dict[str, Decimal],
    notes: list[str],
    freed: Counter[str],
) -> Decimal:
    """What their lines cost other than at our rate, put down to its reason; the rest."""
    unexplained = ZERO
    odd: set[str] = set()
    group = item.removesuffix("-ARM")
    for line in lines:
        difference = line.usd - line.quantity * ours.rate
        rate = line.usd / line.quantity if line.quantity else ours.rate
        if abs(difference) <= ROUNDING_USD:
            explained["rounding"] += difference
        elif not line.usd and group in FREE and freed[group] + line.quantity <= FREE[group]:
            freed[group] += line.quantity  # type: ignore[assignment]
            explained["free tier"] += difference
        elif any(abs(rate - tier) <= tier * RATE_SHARE for tier in ours.rates[1:]):
            explained["volume tier"] += difference
        else:
            unexplained += difference
            odd.add(plain(rate.quantize(Decimal("1e-12"))))
    if odd:
        notes.append(f"billed at {', '.join(sorted(odd))} and not at {plain(ours.rate)}")
    return unexplained


def _why(ours: Ours, lines: list[BillLine]) -> Iterator[str]:
    """What may have made the quantities differ."""
    if not lines:
        yield "the export has nothing of this"
        return
    seen = Counter(line.id or msgspec.structs.astuple(line)[1:-1] for line in lines)
    twice = sum(count - 1 for count in seen.values())
    if twice:
        yield f"{twice} of their lines stand there twice"
    hours = {line.began for line in lines}
    # A daily or monthly export begins all its lines at midnight.
    if any(not hour.endswith("T00") for hour in hours):
        absent = sorted(ours.hours - hours)
        named = ", ".join(absent[:HOURS_NAMED])
        if absent:
            more = f" and {len(absent) - HOURS_NAMED} more" if len(absent) > HOURS_NAMED else ""
            yield f"they have no line for {named}{more}"


def _plain(value: Any) -> Any:
    """The same with decimals as plain text."""
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return _plain(msgspec.structs.asdict(value)) if isinstance(value, Row) else value
