"""Batch jobs by event: every row of a file that arrives is scored once.

Lambda calls `functions.batch.app.handler` for messages and objects, and a state machine for shards;
Function Compute and Knative run `uvicorn functions.batch.app:app`; a JobSink's Job runs
`python3 -m functions.batch.app`, and KEDA scales `python3 -m functions.batch.app --queue URL`.
FARTHING_BATCH_… say what is done with a file.
"""

import sys

from farthing.batch.events.function import BatchFunction

app = BatchFunction()
handler = app.handler

if __name__ == "__main__":
    sys.exit(app.main())
