"""`farthing serve` whose patience with clients is tenths of seconds, as a program of its own.

python -m tests.functions.impatient serve --port 8080
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from farthing.cli.main import main
from farthing.serving import bodies, connections

if TYPE_CHECKING:
    from collections.abc import Sequence

HEAD_S, GAP_S, BODY_S, LINGER_S = 0.6, 0.5, 1.5, 0.5


def impatient(*arguments: str) -> Sequence[str]:
    """Its command line."""
    return [sys.executable, "-m", "tests.functions.impatient", *arguments]


if __name__ == "__main__":
    connections.HEAD_S_MAX = HEAD_S
    connections.LINGER_S = LINGER_S
    bodies.GAP_S_MAX, bodies.BODY_S_MAX = GAP_S, BODY_S
    sys.exit(main())
