"""Objects against the schemas of their kinds, where an unknown field is an error."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kubernetes_validate
from jsonschema import Draft7Validator

from farthing.deployment.knative.overlay import dig, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.findings import Finding
    from farthing.deployment.knative.overlay import Overlay

FOLDER = Path(__file__).parent / "schemas"
NAMES = {"type": "object", "additionalProperties": {"type": "string"}}
METADATA = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "pattern": r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"},
        "namespace": {"type": "string"},
        "labels": NAMES,
        "annotations": NAMES,
    },
}
# Eventing reads these of a delivery, and leaves them out of the schema:
# https://knative.dev/docs/eventing/event-delivery/
DELIVERY_ALSO = ("timeout", "retryAfterMax", "format")
# Serving's schema takes these fields of a pod as they come.
POD_FIELDS = ("affinity", "tolerations", "securityContext", "topologySpreadConstraints")


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every field that the API server would refuse, or drop without a word."""
    seen: set[tuple[str, str]] = set()
    for document in overlay.documents:
        key = (str(document.get("kind")), name_of(document))
        if key in seen:
            yield overlay.finding(
                document, "", "Two objects have this kind and name.", "Rename one."
            )
        seen.add(key)
        for path, says in errors(document):
            yield overlay.finding(document, path, says, "Correct or remove it.")


def errors(document: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Pairs of dotted path and sentence; overlays share most objects, so answers are kept."""
    return _errors(json.dumps(document, sort_keys=True, default=str))


@lru_cache(maxsize=4096)
def _errors(text: str) -> tuple[tuple[str, str], ...]:
    document = json.loads(text)
    api, kind = str(document.get("apiVersion", "")), str(document.get("kind", ""))
    custom = _custom_schema(f"{api.replace('/', '_')}_{kind}.json")
    if custom is None:
        found = list(_core_errors(document))
    else:
        found = [
            (".".join(map(str, error.absolute_path)), f"{error.message[:200]}.")
            for error in custom.iter_errors(document)
        ]
        found += _inner_errors(document)
    return tuple(sorted(found))


@lru_cache
def _custom_schema(file: str) -> Draft7Validator | None:
    path = FOLDER / file
    if not path.is_file():
        return None
    schema = _closed(json.loads(path.read_text(encoding="utf-8")))
    schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": METADATA}
    schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
    return Draft7Validator(schema)


def _closed(schema: Any) -> Any:
    """The same schema, refusing fields it does not name: a server would prune them in silence."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(value) for name, value in schema.items()}
    properties = closed.get("properties")
    if properties and isinstance(properties, dict) and "additionalProperties" not in schema:
        closed["additionalProperties"] = False
        if "backoffPolicy" in properties:
            closed["properties"] = {key: {} for key in DELIVERY_ALSO} | properties
    return closed


def _core_errors(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    try:
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
    except kubernetes_validate.SchemaNotFoundError:
        yield "", f"No schema is known for {document['apiVersion']} {document['kind']}."
    except kubernetes_validate.ValidationError as error:
        yield ".".join(map(str, error.absolute_path)), f"{error.message[:200]}."
    except KeyError as error:
        yield "", f"It has no {error}."


def _inner_errors(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What a custom kind carries of a core one: a JobSink's Job, parts of a Service's pod."""
    if document["kind"] == "JobSink":
        job = dig(document, "spec.job") or {}
        whole = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"}, **job}
        for path, says in _core_errors(whole):
            yield f"spec.job.{path}", says
    spec = dig(document, "spec.template.spec")
    if isinstance(spec, dict):
        parts = {name: spec[name] for name in POD_FIELDS if name in spec}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "pod"},
            "spec": {"containers": [{"name": "function"}], **parts},
        }
        for path, says in _core_errors(pod) if parts else ():
            yield f"spec.template.{path}", says
