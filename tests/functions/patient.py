"""`farthing serve` that, once it is to stop, waits as long as a test may take: for requests on
their way, and for what it began.

python -m tests.functions.patient serve --port 8080
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from farthing.cli import serve
from farthing.cli.main import main
from farthing.serving import connections

if TYPE_CHECKING:
    from collections.abc import Sequence

LAST_REQUEST_S, DRAIN_S = 60, 600


def patient(*arguments: str) -> Sequence[str]:
    """Its command line."""
    return [sys.executable, "-m", "tests.functions.patient", *arguments]


if __name__ == "__main__":
    connections.LAST_REQUEST_S = LAST_REQUEST_S
    serve.DRAIN_S = DRAIN_S
    sys.exit(main())
