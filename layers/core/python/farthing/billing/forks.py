"""What a forked process must not inherit."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def call_in_forks(method: Callable[[], Any]) -> None:
    """Calls a bound method in every forked child before it does anything else, for as long as the
    method's object lives."""
    reference = weakref.WeakMethod(method)

    def begin() -> None:
        found = reference()
        if found is not None:
            found()

    os.register_at_fork(after_in_child=begin)
