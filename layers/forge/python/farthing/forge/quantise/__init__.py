"""From float32 graphs to INT8."""
