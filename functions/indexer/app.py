"""The indexer: makes a new version of an index of the writes that wait for it.

Lambda calls `functions.indexer.app.handler` on a schedule and for every write; Function Compute
runs `uvicorn functions.indexer.app:app`; a CronJob runs `python3 -m functions.indexer.app`.
FARTHING_INDEX is where the index lies.
"""

import sys

from farthing.search.indexer import Indexer

app = Indexer()
handler = app.handler

if __name__ == "__main__":
    sys.exit(app.main())
