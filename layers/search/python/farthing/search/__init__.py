"""Search: an index packed as files with digests, and the engine that answers from it."""
