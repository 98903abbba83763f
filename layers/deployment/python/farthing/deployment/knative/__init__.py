"""Knative: the kustomize overlays, rendered and held against Serving, Eventing and KEDA."""

from farthing.deployment.knative.check import check, check_rendered

__all__ = ["check", "check_rendered"]
