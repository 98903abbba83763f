"""Keys tell apart what answers differ by; entries that are not what was written are as absent."""

from __future__ import annotations

import itertools
import math
import struct
from array import array
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.serving.cache.entry import DIGEST_BYTES, HEADER, KINDS, Entry, Schema
from farthing.serving.cache.key import KEY_BYTES, Keys
from farthing.serving.cache.vectors import Vectors, pack, packed_bytes, unpack

KEY, OTHER_KEY = b"k" * KEY_BYTES, b"o" * KEY_BYTES
DIMS = 5
ROW = array("f", [0.5, -0.25, 0.0, 1e-3, -1.0]).tobytes()
SCHEMA = Schema("float32", DIMS)
ENTRY = Entry(ROW, tokens=7, truncated=True, written_s=1_795_000_000)
ALL_VECTORS: tuple[Vectors, ...] = ("float32", "float16", "int8")
FLOATS = st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=40)

PARTS = st.tuples(st.text(max_size=4), st.text(max_size=4), st.sampled_from(ALL_VECTORS),
                  st.text(max_size=4), st.text(max_size=4))  # fmt: skip


@given(PARTS, PARTS)
def test_keys_are_equal_where_all_parts_are(one: tuple, other: tuple) -> None:
    first, second = (Keys(*parts[:4]).of(parts[4]) for parts in (one, other))
    assert (first == second) == (one == other)
    assert len(first) == KEY_BYTES


def test_parts_that_read_alike_joined_have_keys_of_their_own() -> None:
    spelt = [("a", "bc", ""), ("ab", "c", ""), ("", "abc", ""), ("abc", "", ""), ("a", "b", "c")]
    keys = {Keys(task, digest, "float32", scope).of("text") for task, digest, scope in spelt}
    assert len(keys) == len(spelt)
    assert Keys("t", "d", "float32", "").of("half \ud800") != KEY


def test_an_entry_is_read_as_it_was_written() -> None:
    assert SCHEMA.decode(KEY, SCHEMA.encode(KEY, ENTRY)) == ENTRY


def test_no_bit_of_an_entry_can_be_another() -> None:
    value = SCHEMA.encode(KEY, ENTRY)
    for at, bit in itertools.product(range(len(value)), range(8)):
        spoilt = bytearray(value)
        spoilt[at] ^= 1 << bit
        assert SCHEMA.decode(KEY, bytes(spoilt)) is None


def test_no_entry_is_longer_or_shorter_than_its_schema_says() -> None:
    value = SCHEMA.encode(KEY, ENTRY)
    for length in range(len(value)):
        assert SCHEMA.decode(KEY, value[:length]) is None
    assert SCHEMA.decode(KEY, value + b"\x00") is None


@given(st.binary(max_size=200))
def test_whatever_lies_in_a_store_is_no_entry(value: bytes) -> None:
    assert SCHEMA.decode(KEY, value) is None


def test_another_keys_entry_is_not_this_ones() -> None:
    assert SCHEMA.decode(KEY, SCHEMA.encode(OTHER_KEY, ENTRY)) is None


@pytest.mark.parametrize("other", [Schema("float32", DIMS + 1), Schema("float16", 2 * DIMS)])
def test_an_entry_of_another_shape_is_refused(other: Schema) -> None:
    payload = bytes(packed_bytes(other.dims, other.vectors))
    assert SCHEMA.decode(KEY, other.encode(KEY, ENTRY._replace(payload=payload))) is None


@pytest.mark.parametrize("field", ["format", "kind", "truncated", "dims"])
def test_a_header_that_disagrees_is_refused_though_its_digest_is_right(field: str) -> None:
    fields = {"format": 1, "kind": KINDS["float32"], "truncated": 1, "dims": DIMS, "tokens": 7,
              "written_s": 1}  # fmt: skip
    for value, is_fine in ((fields[field], True), (fields[field] + 1, False)):
        body = HEADER.pack(*(fields | {field: value}).values()) + ROW
        digest = blake2b(KEY + body, digest_size=DIGEST_BYTES).digest()
        assert (SCHEMA.decode(KEY, body + digest) is not None) == is_fine


@pytest.mark.parametrize("vectors", ALL_VECTORS)
@given(floats=FLOATS)
def test_a_row_that_was_packed_once_stays_as_it_is(vectors: Vectors, floats: list[float]) -> None:
    row = array("f", floats).tobytes()
    payload = pack(row, vectors)
    assert payload is not None
    assert len(payload) == packed_bytes(len(floats), vectors)
    rounded = unpack(payload, vectors)
    assert rounded == unpack(payload, vectors)
    assert len(rounded) == len(row)
    if vectors == "float32":
        assert rounded == row


@given(FLOATS)
def test_rounding_moves_a_number_by_half_a_step_at_most(floats: list[float]) -> None:
    row = array("f", floats)
    largest = max(map(abs, row))
    steps = {"float16": largest * 2**-10 + 2**-24, "int8": max(largest / 127, 2**-126)}
    for vectors, step in steps.items():
        rounded = array("f", unpack(pack(row.tobytes(), vectors) or b"", vectors))
        for exact, kept in zip(row, rounded, strict=True):
            assert abs(exact - kept) <= step * 0.5001 + 1e-7 * largest


def test_numbers_that_float32_hardly_holds_are_kept_as_nothing() -> None:
    # Of these the largest is more than 127 of the smallest steps that there are.
    row = array("f", [180 * 2**-149, -(2**-149), 2**-126])
    for floats in (row, row[:2], row[1:2]):
        payload = pack(floats.tobytes(), "int8")
        assert payload is not None
        kept = array("f", unpack(payload, "int8"))
        assert max(abs(one - other) for one, other in zip(floats, kept, strict=True)) <= 2**-127


def test_a_row_of_zeros_stays_one() -> None:
    zeros = bytes(4 * DIMS)
    for vectors in ALL_VECTORS:
        assert unpack(pack(zeros, vectors) or b"", vectors) == zeros


@pytest.mark.parametrize("odd", [1e6, math.inf, math.nan])
def test_what_a_rounded_row_cannot_hold_is_not_kept(odd: float) -> None:
    row = struct.pack("<3f", 1.0, odd, 2.0)
    if odd == 1e6:
        assert pack(row, "float16") is None
    else:
        assert pack(row, "int8") is None
    assert pack(row, "float32") == row
