"""The Dockerfile and what its builds may see, held against the tree."""

from farthing.deployment.docker.check import check

__all__ = ["check"]
