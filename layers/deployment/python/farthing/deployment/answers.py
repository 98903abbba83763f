"""Which functions' answers may be kept, and their texts computed together with those of others."""

from __future__ import annotations

from farthing.serving.registry import FUNCTIONS

CACHE_VARIABLE = "FARTHING_CACHE"
# What needs no server; anything else is the address of one, with its password.
ALONE = ("memory", "off")


def keeps_answers(name: str) -> bool:
    """Whether the function answers texts one by one; false also for a name that nothing serves."""
    return name in FUNCTIONS and any(it.is_cached for it in FUNCTIONS[name].contracts)
