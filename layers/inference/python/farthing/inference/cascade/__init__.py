"""Cascades: a cheap model answers what it is sure of, the next one what is left."""
