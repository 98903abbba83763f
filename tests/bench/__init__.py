"""Benchmarks against peers run side by side: `python -m tests.bench [names…]`."""
