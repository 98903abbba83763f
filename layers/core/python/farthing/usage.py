"""What one invocation consumed: integers with units in their names, never money."""

from __future__ import annotations

from typing import Literal

import msgspec

CacheState = Literal["hit", "miss", "off"]

NS_PER_MS = 1_000_000


class Usage(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The model fills tokens and truncations, the platform time and memory; joined once.

    `restored`: the first invocation of an environment that came from a snapshot.
    `cached_tokens`: those of `prompt_tokens` that the cache answered; `cache` is a hit where that
    is all of them.
    """

    prompt_tokens: int
    truncated: int
    busy_ns: int
    init_ns: int
    memory_mb: int
    vcpu_milli: int
    disk_mb: int
    cold: bool
    restored: bool = False
    cache: CacheState = "off"
    cached_tokens: int = 0

    def as_json(self, billed_ms: int) -> dict[str, object]:
        """The `usage` object of an answer."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "total_tokens": self.prompt_tokens,
            "busy_ms": self.busy_ns / NS_PER_MS,
            "billed_ms": billed_ms,
            "memory_mb": self.memory_mb,
            "cold": self.cold,
            "cache": self.cache,
            "cached_tokens": self.cached_tokens,
            "truncated": self.truncated,
        }
