"""`farthing` under a wall clock that is set every now and then, by up to a day either way.

`python -m tests.functions.skewed SEED serve …`
"""

from __future__ import annotations

import random
import sys
import time

EVERY_S = 0.4
OFFSETS_S = (0, 0, 1, -1, 3_600, -3_600, 86_400, -86_400)


def main() -> None:
    chance = random.Random(sys.argv.pop(1))
    offsets_ns = [chance.choice(OFFSETS_S) * 1_000_000_000 for _ in range(1_000)]
    right_ns = time.time_ns

    def time_ns() -> int:
        return right_ns() + offsets_ns[int(time.monotonic() / EVERY_S) % len(offsets_ns)]

    time.time_ns = time_ns
    time.time = lambda: time_ns() / 1_000_000_000

    from farthing.cli.main import main as farthing

    farthing()


if __name__ == "__main__":
    main()
