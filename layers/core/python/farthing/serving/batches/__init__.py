"""OpenAI's files and batches: many requests in one file, answered when there is time for them."""
