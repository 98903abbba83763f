"""Search and re-ranking: one entry point for Lambda, Function Compute and Knative.

Lambda calls `functions.search.app.handler`; the others run `uvicorn functions.search.app:app`.
"""

from farthing.serving.entry import Entry

app = Entry("search")
handler = app.handler
