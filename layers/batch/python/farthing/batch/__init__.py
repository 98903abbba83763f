"""Batch jobs: every row of some files scored once and cheaply, whatever dies meanwhile."""
