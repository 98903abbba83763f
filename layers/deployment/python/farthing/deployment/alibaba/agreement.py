"""What a function's properties must say because the project, its image or its code say so."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from farthing.billing.prices import read_price_book
from farthing.deployment.alibaba.shape import Fault
from farthing.errors import FarthingError
from farthing.settings import PREFIX, known_variables, read_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from farthing.deployment.project import Function, Project

PORT = 9000
APPLICATION = "farthing"
ABSENT = object()

# A secret comes from the environment of whoever deploys, without a default in the file.
# A ledger's address holds the database's password.
SECRET = re.compile(r"(KEYS?|LEDGER|SECRET|TOKEN|PASSWORD)$")
FROM_ENVIRONMENT = re.compile(r"\$\{env\('\w+'\)\}")

# Container Registry's hosts: personal and enterprise editions, public and inside a VPC.
REGISTRY = re.compile(r"^[a-z0-9.-]+\.aliyuncs\.com/[a-z0-9][a-z0-9_./-]*$")


class Wanted(NamedTuple):
    at: str
    value: object
    because: str


def wanted(name: str, function: Function, project: Project) -> list[Wanted]:
    """Every place that can hold only one value, and who says so."""
    pyproject = f"pyproject.toml gives {name}"
    environment = "environmentVariables.FARTHING_"
    places = [
        Wanted("functionName", f"farthing-{name}", "the tree names it so"),
        Wanted("runtime", "custom-container", "it runs the image of target http"),
        Wanted("cpu", function.vcpu_milli / 1000, f"{pyproject} {function.vcpu_milli} milli-vCPU"),
        Wanted("memorySize", function.memory_mb, f"{pyproject} {function.memory_mb} MB"),
        Wanted("timeout", function.timeout_s, f"{pyproject} {function.timeout_s} s"),
        Wanted("customContainerConfig.port", PORT, "it is our port on Function Compute"),
        Wanted("environmentVariables.UVICORN_PORT", str(PORT), "the image's server listens there"),
        Wanted(
            "customContainerConfig.healthCheckConfig.httpGetUrl",
            "/readyz",
            "it is true only after a real inference",
        ),
        Wanted("instanceLifecycleConfig.initializer.handler", "initialize", "the app serves it"),
        Wanted("instanceLifecycleConfig.preStop.handler", "pre-stop", "the app serves it"),
        Wanted("asyncInvokeConfig.asyncTask", True, "only a task can be asked about and stopped"),
        Wanted(f"{environment}PLATFORM", "fc", "the app prices and answers by it"),
        Wanted(f"{environment}MEMORY_MB", str(function.memory_mb), "each call is priced by it"),
        Wanted(f"{environment}VCPU_MILLI", str(function.vcpu_milli), "each call is priced by it"),
        Wanted(
            f"{environment}TIMEOUT_MS",
            str(function.timeout_s * 1000),
            "it is the function's timeout",
        ),
    ]
    if function.models:
        models = ",".join(function.models)
        places.append(Wanted(f"{environment}MODEL", models, f"{pyproject} these models"))
    return places


def disagreements(
    name: str, function: Function, project: Project, props: Mapping[str, Any]
) -> Iterator[Fault]:
    for at, value, because in wanted(name, function, project):
        found = look_up(props, at)
        if found is ABSENT:
            yield Fault(at, f"The key is missing, though {because}.", f"Write {value}.")
        elif found != value or isinstance(found, bool) != isinstance(value, bool):
            yield Fault(at, f"It is {found!r}, but {because}.", f"Write {value!r}.")
    yield from _image(name, project, props)
    yield from _tags(name, props)
    environment = look_up(props, "environmentVariables")
    if isinstance(environment, dict):
        yield from _environment(environment, props)


def look_up(content: Any, at: str) -> Any:
    """What stands at the dotted path, or `ABSENT`."""
    for key in at.split("."):
        if not isinstance(content, dict) or key not in content:
            return ABSENT
        content = content[key]
    return content


def secrets_in_file(raw: Mapping[str, Any]) -> Iterator[Fault]:
    """Variables that hold a secret and are written out; `raw` is not resolved."""
    environment = raw.get("environmentVariables")
    for variable, value in (environment if isinstance(environment, dict) else {}).items():
        if SECRET.search(variable) and not FROM_ENVIRONMENT.fullmatch(str(value)):
            yield Fault(
                f"environmentVariables.{variable}",
                "A secret is written into the file, or would default to one.",
                f"Write ${{env('{variable}')}} and set it where `s deploy` runs.",
            )


def _image(name: str, project: Project, props: Mapping[str, Any]) -> Iterator[Fault]:
    at = "customContainerConfig.image"
    image = look_up(props, at)
    if not isinstance(image, str):
        return  # its shape is a fault already
    repository, _, tag = image.rpartition(":")
    wanted_name = f"farthing-{name}"
    if repository.rpartition("/")[2] != wanted_name:
        yield Fault(at, f"The image is {image!r}, not {wanted_name}.", f"Name {wanted_name}.")
    has_ledger = look_up(props, "environmentVariables.FARTHING_LEDGER") is not ABSENT
    wanted_tag = project.ledger_tag if has_ledger else project.version
    if tag != wanted_tag:
        yield Fault(
            at,
            f"The image's tag is {tag!r}; the amd64 image of this version is {wanted_tag}.",
            f"Write the tag {wanted_tag}; Function Compute runs amd64 only.",
        )
    region = str(props.get("region"))
    if not REGISTRY.match(repository) or region not in repository:
        yield Fault(
            at,
            f"The image is {image!r}; Function Compute pulls only from Container Registry in its "
            f"own region, {region}.",
            f"Name a host like registry.{region}.aliyuncs.com and a namespace.",
        )


def _tags(name: str, props: Mapping[str, Any]) -> Iterator[Fault]:
    given = props.get("tags")
    tags = [it for it in given if isinstance(it, dict)] if isinstance(given, list) else []
    values = {str(it.get("key")): it.get("value") for it in tags}
    if len(values) != len(tags):
        yield Fault("tags", "Two tags have one key.", "Keep one.")
    for key, value in {"application": APPLICATION, "function": name}.items():
        if values.get(key) != value:
            says = f"The tag {key} is {values.get(key)!r}, so the bill cannot be split by it."
            yield Fault("tags", says, f"Tag it {key}: {value}.")


def _environment(environment: Mapping[str, Any], props: Mapping[str, Any]) -> Iterator[Fault]:
    for variable in environment:
        if variable.startswith(PREFIX) and variable not in known_variables():
            at = f"environmentVariables.{variable}"
            yield Fault(at, "Farthing reads no such variable.", "Correct or remove it.")
    if "FARTHING_REGION" not in environment:
        at = "environmentVariables.FARTHING_REGION"
        yield Fault(at, "The key is missing, so the list price is left to chance.", "Add it.")
    try:
        settings = read_settings({str(key): str(it) for key, it in environment.items()})
        book = read_price_book()
        for rule in sorted({row.rule for row in book.rows if row.rule.startswith("fc.")}):
            book.price(rule, settings.region)
    except FarthingError as error:
        named = re.search(r"FARTHING_[A-Z_]+", str(error))
        at = f"environmentVariables.{named[0]}" if named else "environmentVariables"
        yield Fault(at, f"The function would not start: {error}", "Correct it here.")
        return
    if settings.keys and settings.access != "keys":
        at = "environmentVariables.FARTHING_ACCESS"
        says = f"FARTHING_KEYS is set, but access is {settings.access!r}, so no key is asked for."
        yield Fault(at, says, "Write keys, or remove FARTHING_KEYS.")
    if settings.ledger and settings.recorder != "line":
        at = "environmentVariables.FARTHING_RECORDER"
        says = "An instance stands still between calls, so a spool would wait in it and be lost."
        yield Fault(at, says, "Write line: the log project keeps the entries.")
    if settings.disk_mb != props.get("diskSize"):
        yield Fault(
            "diskSize",
            f"It is {props.get('diskSize')!r}, but calls are priced with {settings.disk_mb} MB.",
            f"Write {settings.disk_mb}, or say the same in FARTHING_DISK_MB.",
        )
