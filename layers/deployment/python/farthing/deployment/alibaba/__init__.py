"""Alibaba Function Compute 3.0: the Serverless Devs files, held against the service's rules."""

from farthing.deployment.alibaba.check import check

__all__ = ["check"]
