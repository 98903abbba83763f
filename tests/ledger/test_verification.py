"""Verification: a sound ledger is said to be sound, and every way of forging one is found."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from farthing.billing.valuation import Valuer
from farthing.ledger.receipts import (
    ReceiptBroken,
    ReceiptMissing,
    check,
    decode,
    encode,
    receipt_of,
)
from farthing.ledger.sealing import LATE_MS, seal
from farthing.ledger.signing import PublicKeys, digest
from farthing.ledger.verification import verify
from tests.ledger.attempts import (
    HOUR_MS,
    LAMBDA,
    MINUTE_MS,
    OTHER_SIGNER,
    SIGNER,
    START_MS,
    a_ledger,
    an_entry,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from farthing.ledger.receipts import Receipt

KEYS = PublicKeys.read(json.dumps(SIGNER.public_keys()))
WRITER = "a" * 16
NOW_MS = START_MS + 4 * HOUR_MS
LONG_AFTER_MS = NOW_MS + LATE_MS + 2 * HOUR_MS


def entries() -> list[Any]:
    """Three hours of two tenants' calls and the house's refusals, of one writer."""
    tenants = ("acme", "bolt", "acme", "house")
    return [
        an_entry(
            number,
            at_ms=START_MS + number * 3 * MINUTE_MS,
            tenant=tenants[number % 4],
            kind="refusal" if number % 4 == 3 else "answer",
        )
        for number in range(1, 50)
    ]


def a_sealed_ledger(signer: Any = SIGNER, changed: dict[int, Any] | None = None) -> Any:
    """The ledger of these entries; some may have been others when they were sealed."""
    kept = [(changed or {}).get(entry.number, entry) for entry in entries()]
    ledger = a_ledger(*(entry for entry in kept if entry is not None))
    assert len(list(seal(ledger, signer, NOW_MS))) == 9
    return ledger


def verdict(ledger: Any, now_ms: int = NOW_MS, **options: Any) -> Any:
    return verify(ledger, KEYS, now_ms, pricer=Valuer({}), **options)


def receipt(ledger: Any, number: int = 16) -> Receipt:
    wanted = entries()[number - 1]
    return receipt_of(ledger, wanted.tenant, wanted.request_id, since_ms=0, until_ms=NOW_MS)


def test_a_sealed_ledger_is_sound() -> None:
    found = verdict(a_sealed_ledger())
    assert found.sound
    assert (found.roots, found.entries, found.sealed) == (9, 49, 49)
    assert (found.broken, found.warnings) == ([], [])
    assert set(found.heads) == {"acme", "bolt", "house"}


def test_an_empty_ledger_is_sound() -> None:
    assert verdict(a_ledger()).sound


def change_tokens(ledger: Any) -> None:
    entry = ledger._entries[WRITER, 20]
    usage = msgspec.structs.replace(entry.usage, busy_ns=entry.usage.busy_ns + 1)
    ledger._entries[WRITER, 20] = msgspec.structs.replace(entry, usage=usage)


def change_last(ledger: Any) -> None:
    entry = ledger._entries[WRITER, 49]
    ledger._entries[WRITER, 49] = msgspec.structs.replace(entry, plan="cheap@00000000")


def take_away(ledger: Any) -> None:
    del ledger._entries[WRITER, 20]


def rebook(ledger: Any) -> None:
    entry = ledger._entries[WRITER, 20]
    ledger._entries[WRITER, 20] = msgspec.structs.replace(entry, tenant="bolt")


def move_in_time(ledger: Any) -> None:
    entry = ledger._entries[WRITER, 20]
    ledger._entries[WRITER, 20] = msgspec.structs.replace(entry, at_ms=entry.at_ms + HOUR_MS)


@pytest.mark.parametrize(
    ("forge", "named"),
    [
        (change_tokens, f"Entry {WRITER}/20 of acme, 2026-11-22T06: it is not what was sealed"),
        (change_last, f"Entry {WRITER}/49 of bolt, 2026-11-22T07: it is not what was sealed"),
        (take_away, f"Entry {WRITER}/20 of acme, 2026-11-22T06, root 2: it is missing"),
        (rebook, f"Entry {WRITER}/20 of bolt, 2026-11-22T06: it was sealed in acme"),
        (move_in_time, f"{WRITER}/2"),
    ],
)
def test_the_first_forged_entry_is_named(forge: Callable[[Any], None], named: str) -> None:
    ledger = a_sealed_ledger()
    forge(ledger)
    found = verdict(ledger)
    assert not found.sound
    assert named in found.broken[0]


def test_an_entry_added_to_the_past_is_named() -> None:
    ledger = a_sealed_ledger()
    later = an_entry(50, at_ms=LONG_AFTER_MS - 2 * HOUR_MS)
    ledger.append([later])
    list(seal(ledger, SIGNER, LONG_AFTER_MS))
    assert verdict(ledger, LONG_AFTER_MS).sound
    ledger.append([an_entry(1, writer="f" * 16, at_ms=START_MS + 1)])
    list(seal(ledger, SIGNER, LONG_AFTER_MS + HOUR_MS))
    (broken,) = verdict(ledger, LONG_AFTER_MS + HOUR_MS).broken
    assert f"Entry {'f' * 16}/1 of acme, 2026-11-22T05: it was added" in broken


def test_what_is_late_or_not_sealed_yet_is_said_and_breaks_nothing() -> None:
    ledger = a_sealed_ledger()
    ledger.append([an_entry(52, at_ms=NOW_MS)])
    found = verdict(ledger, NOW_MS + 4 * HOUR_MS)
    assert found.sound
    assert [text.split(":")[0] for text in found.warnings] == [
        f"Entries {WRITER}/50-51", "2026-11-22T09",
    ]  # fmt: skip
    assert "not arrived yet" in found.warnings[0]


def test_what_never_arrived_is_broken_after_days() -> None:
    ledger = a_sealed_ledger(changed={20: None})
    assert verdict(ledger).sound
    (broken,) = verdict(ledger, LONG_AFTER_MS).broken
    assert broken.startswith(f"Entry {WRITER}/20: missing")


def test_a_clock_that_goes_backwards_breaks_nothing() -> None:
    ledger = a_ledger(
        *(an_entry(number, at_ms=START_MS + (60 - number) * MINUTE_MS) for number in range(1, 60))
    )
    list(seal(ledger, SIGNER, NOW_MS))
    found = verdict(ledger)
    assert (found.sound, found.warnings, found.sealed) == (True, [], 59)


def forged_roots(ledger: Any, signer: Any) -> Any:
    """The same entries but one, sealed anew from the beginning."""
    entry = ledger._entries[WRITER, 20]
    usage = msgspec.structs.replace(entry.usage, prompt_tokens=700)
    return a_sealed_ledger(signer, {20: msgspec.structs.replace(entry, usage=usage)})


def test_a_history_written_anew_with_another_key_is_found() -> None:
    broken = verdict(forged_roots(a_sealed_ledger(), OTHER_SIGNER)).broken
    assert len(broken) == 9
    assert "signed with a key that is not known here" in broken[0]


def test_a_history_written_anew_with_the_same_key_contradicts_a_receipt_and_a_head() -> None:
    ledger = a_sealed_ledger()
    forged = forged_roots(ledger, SIGNER)
    assert verdict(forged).sound
    held, head = receipt(ledger, 22).root, verdict(ledger).heads["acme"]
    assert verdict(ledger, known=[held], heads=[head.upper()]).sound
    for number in (22, 42):
        later = receipt(ledger, number).root
        assert "has another root than the ledger" in verdict(forged, known=[later]).broken[0]
    assert "has the head that was noted" in verdict(forged, heads=[head]).broken[0]


def test_a_history_that_was_cut_off_contradicts_a_head() -> None:
    ledger = a_sealed_ledger()
    head = verdict(ledger).heads["acme"]
    for key in [key for key, root in ledger._roots.items() if root.hour == "2026-11-22T07"]:
        del ledger._roots[key]
    for key in [key for key, one in ledger._entries.items() if one.at_ms >= NOW_MS - 2 * HOUR_MS]:
        del ledger._entries[key]
    assert verdict(ledger).sound
    assert not verdict(ledger, heads=[head]).sound


@pytest.mark.parametrize(
    ("forge", "said"),
    [
        (lambda roots: roots.pop(("acme", 2)), "root 2 is missing before it"),
        (lambda roots: roots.pop(("acme", 1)), "root 1 is missing before it"),
        (
            lambda roots: roots.update(
                {("acme", 2): msgspec.structs.replace(roots["acme", 2], count=1)}
            ),
            "its signature is not that of its key",
        ),
        (
            lambda roots: roots.update(
                {("acme", 2): SIGNER.sign(msgspec.structs.replace(roots["acme", 2], count=1))}
            ),
            "it does not follow from the root before it",
        ),
        (
            lambda roots: roots.update(
                {
                    ("acme", 3): SIGNER.sign(
                        msgspec.structs.replace(roots["acme", 3], hour="2026-11-22T05")
                    )
                }
            ),
            "its hour is not after",
        ),
    ],
)
def test_a_forged_root_is_named(forge: Callable[[Any], Any], said: str) -> None:
    ledger = a_sealed_ledger()
    forge(ledger._roots)
    assert any(said in broken for broken in verdict(ledger).broken)


def test_times_and_hours_that_no_calendar_has_are_broken_and_no_more() -> None:
    ledger = a_sealed_ledger()
    entry = ledger._entries[WRITER, 20]
    ledger._entries[WRITER, 20] = msgspec.structs.replace(entry, at_ms=2**47)
    root = ledger._roots["bolt", 1]
    ledger._roots["bolt", 1] = msgspec.structs.replace(root, hour="some hour")
    found = verdict(ledger)
    assert "bolt, some hour, root 1: its signature" in found.broken[0]
    assert any(f"Entry {WRITER}/20" in text or f"{WRITER}/2" in text for text in found.broken[1:])


def test_a_changed_entry_is_found_without_the_marks_that_name_it() -> None:
    ledger = a_sealed_ledger()
    change_tokens(ledger)
    ledger._marks.clear()
    (broken,) = verdict(ledger).broken
    assert broken.startswith("acme, 2026-11-22T06, root 2: of the 10 entries")


def test_what_cannot_be_priced_is_said() -> None:
    unknown = a_ledger(an_entry(1, plan="gone@12345678"))
    found = verdict(unknown)
    assert found.sound
    assert "cannot be priced" in found.warnings[0]
    nowhere = msgspec.structs.replace(LAMBDA, region="atlantis")
    assert "cannot be priced" in verdict(a_ledger(an_entry(1, tariff=nowhere))).broken[0]


def test_a_receipt_proves_its_entry_without_the_ledger() -> None:
    ledger = a_sealed_ledger()
    for number in (16, 17, 23, 49):
        read = decode(encode(receipt(ledger, number)))
        check(read, KEYS)
        assert read.entry == entries()[number - 1]


def test_a_receipt_of_whatever_was_changed_is_broken() -> None:
    good = receipt(a_sealed_ledger())
    replace = msgspec.structs.replace
    for bad in (
        replace(good, entry=replace(good.entry, price_max_pico=1)),
        replace(good, entry=replace(good.entry, number=49)),
        replace(good, entry=replace(good.entry, tenant="bolt")),
        replace(good, index=good.index + 1),
        replace(good, path=good.path[1:]),
        replace(good, path=("zz", *good.path[1:])),
        replace(good, root=replace(good.root, count=good.root.count + 1)),
        replace(good, root=OTHER_SIGNER.sign(good.root)),
    ):
        with pytest.raises(ReceiptBroken):
            check(bad, KEYS)


@pytest.mark.parametrize("raw", [b"", b"{}", b"\xff", b'{"format": "other"}'])
def test_what_is_no_receipt_is_refused(raw: bytes) -> None:
    with pytest.raises(ReceiptBroken, match="no receipt"):
        decode(raw)


def test_there_is_no_receipt_before_the_hour_is_sealed_nor_of_unknown_requests() -> None:
    ledger = a_ledger(an_entry(1))
    with pytest.raises(ReceiptMissing, match=r"not sealed yet.*2026-11-22 06:15 UTC"):
        receipt_of(ledger, "acme", an_entry(1).request_id, since_ms=0, until_ms=NOW_MS)
    with pytest.raises(ReceiptMissing, match="no entry of that tenant and request"):
        receipt_of(ledger, "bolt", an_entry(1).request_id, since_ms=0, until_ms=NOW_MS)


def test_the_ledger_gives_no_receipt_over_changed_entries() -> None:
    ledger = a_sealed_ledger()
    take_away(ledger)
    with pytest.raises(ReceiptBroken, match="bill verify"):
        receipt(ledger, 22)


def test_the_chain_ends_with_the_digest_of_the_last_root() -> None:
    ledger = a_sealed_ledger()
    *_, last = ledger.roots(tenant="acme")
    assert verdict(ledger).heads["acme"] == digest(last)
