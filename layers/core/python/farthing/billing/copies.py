"""What a copy of a process must not inherit: a fork's child, an environment made from a snapshot.

A copy has all that its original had: a writer's name and its numbers, leases, open connections.
What two processes must not share begins anew here before the copy does anything else.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import MethodType

# In the order in which they came.
_begin: WeakKeyDictionary[object, Callable[[Any], Any]] = WeakKeyDictionary()


def call_in_copies(method: Callable[[], Any]) -> None:
    """Calls a bound method, one for each object, in every copy, for as long as its object lives."""
    bound = cast("MethodType", method)
    _begin[bound.__self__] = bound.__func__


def begin_copy() -> None:
    """This process is a copy from now on. A fork is one by itself; who restores a snapshot says
    so."""
    for copied, begin in list(_begin.items()):
        begin(copied)


os.register_at_fork(after_in_child=begin_copy)
