"""AWS: template.yaml and samconfig.toml, held to pyproject.toml, the price book and each other."""

from farthing.deployment.aws.check import check
from farthing.deployment.aws.lint import lint

__all__ = ["check", "lint"]
