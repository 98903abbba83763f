"""Text embeddings: one entry point for Lambda, Function Compute and Knative.

Lambda calls `functions.embed.app.handler`; the others run `uvicorn functions.embed.app:app`.
"""

from farthing.serving.entry import Entry

app = Entry("embed")
handler = app.handler
