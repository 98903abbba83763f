"""A rendered overlay: its objects, found by kind and name, and how a finding names them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from farthing.deployment.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.deployment.project import Function, Project

SERVING = "serving.knative.dev"
SERVICE_LABEL = f"{SERVING}/service"


@dataclass(frozen=True)
class Overlay:
    """What `kubectl apply -k knative/overlays/NAME` would send."""

    project: Project
    name: str
    documents: Sequence[dict[str, Any]]

    @property
    def file(self) -> str:
        return f"knative/overlays/{self.name}"

    def of(self, kind: str, group: str = "") -> list[dict[str, Any]]:
        """The objects of a kind; Knative's Service and the core's differ by group."""
        return [
            it
            for it in self.documents
            if it.get("kind") == kind and str(it.get("apiVersion", "")).startswith(group)
        ]

    def named(self, kind: str, name: object, group: str = "") -> dict[str, Any] | None:
        return next((it for it in self.of(kind, group) if name_of(it) == name), None)

    @property
    def functions(self) -> dict[str, Function]:
        """The functions that answer: each is a Service."""
        return {name: it for name, it in self.project.on("knative").items() if it.serves}

    @property
    def jobs(self) -> dict[str, Function]:
        """The functions that a clock starts: each is a CronJob, where there is work for it."""
        return {name: it for name, it in self.project.on("knative").items() if not it.serves}

    def services(self) -> list[tuple[str, dict[str, Any]]]:
        """Knative's Services with the function that each runs: `embed`, or a twin `embed-spot`."""
        found = []
        for service in self.of("Service", SERVING):
            function = self.function_of(name_of(service))
            if function is not None:
                found.append((function, service))
        return found

    def function_of(self, name: str) -> str | None:
        """The function whose Service has this name; the longest, where several would fit."""
        fitting = [it for it in self.functions if name == it or name.startswith(f"{it}-")]
        return max(fitting, key=len, default=None)

    def finding(self, document: dict[str, Any], path: str, says: str, do: str) -> Finding:
        at = f"{document.get('kind')}/{name_of(document)}"
        return Finding(self.file, f"{at} {path}".rstrip(), says, do)

    def missing(self, kind: str, name: str, says: str, do: str) -> Finding:
        return Finding(self.file, f"{kind}/{name}", says, do)


def name_of(document: dict[str, Any]) -> str:
    return str(dig(document, "metadata.name") or "")


def annotations_of(document: dict[str, Any], path: str = "metadata") -> dict[str, str]:
    return dict(dig(document, f"{path}.annotations") or {})


def labels_of(document: dict[str, Any], path: str = "metadata") -> dict[str, str]:
    return dict(dig(document, f"{path}.labels") or {})


def dig(value: Any, path: str) -> Any:
    """What lies at a dotted path (`containers.0.env`), or None where the way ends early."""
    for step in path.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def selects(selector: object, labels: dict[str, str]) -> bool:
    """Whether a label selector takes a pod with these labels; an empty one takes every pod.

    https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
    """
    wanted = dig(selector, "matchLabels") or {}
    expressions = dig(selector, "matchExpressions") or []
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _holds(expression, labels) for expression in expressions
    )


def _holds(expression: dict[str, Any], labels: dict[str, str]) -> bool:
    key, values = expression.get("key"), expression.get("values") or []
    match expression.get("operator"):
        case "Exists":
            return key in labels and not values
        case "DoesNotExist":
            return key not in labels
        case "In":
            return labels.get(str(key)) in values
        case "NotIn":
            return labels.get(str(key)) not in values
    return False
