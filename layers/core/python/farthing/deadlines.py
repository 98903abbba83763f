"""What serving and its batcher agree on: the time kept for the way back, a usual pace before one
is measured, and when who is turned away may try again.
"""

from __future__ import annotations

from farthing.usage import NS_PER_MS

# Left of the deadline for pricing, encoding and the way back.
RESERVE_NS = 50 * NS_PER_MS
# A small model's usual pace, before the first answer tells this instance's.
USUAL_NS_PER_TOKEN = 100_000
# What cannot be begun here may be elsewhere, or in a moment.
RETRY_AFTER_S = "1"
