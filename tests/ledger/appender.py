"""Appends groups of one writer's entries until it is killed; tells each group once it is kept.

`python -m tests.ledger.appender URL FIRST GROUP`
"""

from __future__ import annotations

import sys

from farthing.billing.stores import open_store
from tests.ledger.facts import entry
from tests.ledger.patience import patience


def main() -> None:
    url, first, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    store = open_store(url)
    while True:
        store.append(entry(number) for number in range(first, first + size))
        first += size
        sys.stdout.write(f"{first - 1}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    with patience():
        main()
