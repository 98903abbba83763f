"""How long an answer takes, so that one which cannot be finished is not begun."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from farthing.deadlines import RESERVE_NS, RETRY_AFTER_S, USUAL_NS_PER_TOKEN
from farthing.errors import DeadlineTooNear
from farthing.usage import NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Callable

    from farthing.serving.envelope import Envelope


class Pace:
    """The least time that a token was seen to take on this instance; 0 before the first answer.

    The least, and not a mean: short calls spend more on each token than long ones, and a call
    refused for that would be refused again and again.
    """

    def __init__(self) -> None:
        self._ns_per_token = 0

    def learn(self, tokens: int, compute_ns: int) -> None:
        latest = compute_ns // max(1, tokens)
        self._ns_per_token = min(self._ns_per_token or latest, latest)

    def expect_ns(self, tokens: int) -> int:
        """The least that so many tokens would take."""
        return tokens * self._ns_per_token

    def bound_ns(self, tokens: int) -> int:
        """What so many tokens should not take longer than: half as much again as the least.

        Before the first answer a small model's usual pace stands in for it.
        """
        return tokens * (self._ns_per_token * 3 // 2 or USUAL_NS_PER_TOKEN)

    def check(self, envelope: Envelope, tokens: int) -> None:
        """Raises `DeadlineTooNear` where so many tokens would not be done in time."""
        _check(envelope, self.expect_ns(tokens))

    def guard(self, envelope: Envelope) -> Callable[[int], None]:
        """A check to make ahead of each batch of so many tokens.

        It goes by the pace of this very call once there is one, and allows half as much again,
        because texts come shortest first and long ones take longer by the token.
        """
        started_ns = time.perf_counter_ns()
        done_tokens = 0

        def before_batch(tokens: int) -> None:
            nonlocal done_tokens
            pace_ns = self._ns_per_token
            if done_tokens:
                pace_ns = (time.perf_counter_ns() - started_ns) // done_tokens
            _check(envelope, tokens * pace_ns * 3 // 2)
            done_tokens += tokens

        return before_batch


def _check(envelope: Envelope, expected_ns: int) -> None:
    remaining_ns = envelope.remaining_ns
    if remaining_ns < expected_ns + RESERVE_NS:
        raise DeadlineTooNear(
            f"{max(0, remaining_ns) // NS_PER_MS} ms are left of this invocation, too few to "
            "answer. Try again, with fewer inputs or a longer timeout.",
            retry_after=RETRY_AFTER_S,
        )
