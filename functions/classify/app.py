"""Product classification: one entry point for Lambda, Function Compute and Knative.

Lambda calls `functions.classify.app.handler`; the others run `uvicorn functions.classify.app:app`.
"""

from farthing.serving.entry import Entry

app = Entry("classify")
handler = app.handler
