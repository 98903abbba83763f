"""Memory that is free inside of this process, given back to the system."""

from __future__ import annotations

import ctypes

import pyarrow as pa


def give_back() -> None:
    """Returns what allocators keep for later: 150 MB after a large segment was written.

    glibc's does so on request only; others have no such function and return it by themselves.
    """
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
