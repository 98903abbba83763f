"""Merkle trees against RFC 6962's own recursive definition, and against known roots."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.ledger.merkle import Tree, audit_path, leaf_hash, root_from, root_of

LEAVES = [b"", b"\x00", b"\x10", b"\x20\x21", b"\x30\x31", b"\x40\x41\x42\x43",
          bytes(range(0x50, 0x58)), bytes(range(0x60, 0x70))]  # fmt: skip
# The roots over the first 1, 2, … of these leaves, as the Certificate Transparency project
# publishes them with its reference implementation.
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]

some_leaves = st.lists(st.binary(max_size=8), min_size=1, max_size=40)


def by_the_book(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return hashlib.sha256(
        b"\x01" + by_the_book(leaves[:half]) + by_the_book(leaves[half:])
    ).digest()


@pytest.mark.parametrize("size", range(1, len(LEAVES) + 1))
def test_roots_are_those_that_are_published(size: int) -> None:
    assert root_of([leaf_hash(leaf) for leaf in LEAVES[:size]]).hex() == ROOTS[size - 1]


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert Tree().root() == by_the_book([])


@given(some_leaves)
def test_a_tree_grown_leaf_by_leaf_has_the_root_of_the_definition(leaves: list[bytes]) -> None:
    tree = Tree()
    for count, leaf in enumerate(leaves, start=1):
        tree.add(leaf_hash(leaf))
        assert tree.size == count
        assert tree.root() == by_the_book(leaves[:count])


@given(some_leaves, st.data())
def test_a_path_leads_from_its_leaf_to_the_root_and_from_no_other(
    leaves: list[bytes], data: st.DataObject
) -> None:
    hashes = [leaf_hash(leaf) for leaf in leaves]
    index = data.draw(st.integers(0, len(leaves) - 1))
    path = audit_path(hashes, index)
    root = by_the_book(leaves)
    assert root_from(hashes[index], index, len(leaves), path) == root
    assert root_from(leaf_hash(leaves[index] + b"!"), index, len(leaves), path) != root
    assert root_from(hashes[index], index, len(leaves), [*path, root]) is None
    for at in range(len(path)):
        bent = [*path]
        bent[at] = hashlib.sha256(bent[at]).digest()
        assert root_from(hashes[index], index, len(leaves), bent) != root
        assert root_from(hashes[index], index, len(leaves), path[:at]) != root


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_a_place_outside_the_tree_leads_nowhere(index: int, size: int) -> None:
    assert root_from(leaf_hash(b""), index, size, []) is None
    with pytest.raises(IndexError):
        audit_path([leaf_hash(b"")] * size, index)
