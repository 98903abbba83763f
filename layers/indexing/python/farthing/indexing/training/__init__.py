"""Learning how to rank from judged queries, with proof that it helps."""

from farthing.indexing.training.training import train

__all__ = ["train"]
