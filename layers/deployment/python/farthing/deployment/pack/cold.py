"""Cold starts of an image under a platform's limits, beside a bare floor in the same place."""

from __future__ import annotations

import json
import statistics
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.deployment.pack.engine import PackError
from farthing.settings import LAMBDA_MB_PER_VCPU

if TYPE_CHECKING:
    from farthing.deployment.pack.engine import Engine
    from farthing.deployment.pack.images import Request
    from farthing.deployment.project import Project

ROUNDS = 5
RUN_S_MAX = 300
SAMPLE_EVENT = "apigateway-http-v2"
FIGURES = ("ours_s", "floor_s", "ours_cpu_s", "floor_cpu_s")


class Size(msgspec.Struct, frozen=True):
    """CPU in vCPUs and memory in MB that a container is held to; beyond memory it is killed."""

    name: str
    vcpus: float
    memory_mb: int


def lambda_size(memory_mb: int) -> Size:
    """Lambda gives a vCPU to 1,769 MB and CPU in proportion below."""
    vcpus = round(memory_mb / LAMBDA_MB_PER_VCPU, 2)
    return Size(f"{memory_mb:,} MB ({vcpus:g} vCPU)", vcpus, memory_mb)


SIZES = (lambda_size(1769), lambda_size(1024), lambda_size(512))


class ColdStart(msgspec.Struct, frozen=True):
    """Medians, in seconds, from the exec of the entry point to the first priced answer.

    `floor_s` is a bare script's time for the same model, 0 where a function has none. CPU seconds
    are what both took of the limit, and vary less on a busy machine. `peak_mb` is the function's
    largest resident set, `total` the first answer's price in USD.
    """

    size: Size
    taken_s: float
    floor_s: float
    cpu_s: float
    floor_cpu_s: float
    peak_mb: float
    total: str

    @property
    def ratio(self) -> float:
        return self.taken_s / self.floor_s if self.floor_s else 0.0

    @property
    def cpu_ratio(self) -> float:
        return self.cpu_s / self.floor_cpu_s if self.floor_cpu_s else 0.0


def measure(
    project: Project,
    engine: Engine,
    request: Request,
    image: str,
    size: Size,
    rounds: int = ROUNDS,
) -> ColdStart:
    """Starts ours and the floor by turns in one read-only container without a network.

    Raises `PackError` where the function does not answer within these limits.
    """
    plan = json.dumps(_plan(project, request, size, rounds))
    source = (files("farthing.deployment.pack") / "inside.py").read_text(encoding="utf-8")
    limits = [
        *("--read-only", "--network=none", "--cpus", f"{size.vcpus:g}"),
        *("--memory", f"{size.memory_mb}m", "--memory-swap", f"{size.memory_mb}m"),
    ]
    written = engine.run(image, ["python3", "-c", source, plan], limits, RUN_S_MAX)
    found = json.loads(written.strip().splitlines()[-1])
    median = {name: statistics.median(found[name] or [0.0]) for name in FIGURES}
    return ColdStart(
        size,
        taken_s=median["ours_s"],
        floor_s=median["floor_s"],
        cpu_s=median["ours_cpu_s"],
        floor_cpu_s=median["floor_cpu_s"],
        peak_mb=found["peak_mb"],
        total=_total(image, found["answer"]),
    )


def _plan(project: Project, request: Request, size: Size, rounds: int) -> dict[str, Any]:
    function = project.function(request.function)
    file = project.root / "functions" / request.function / "events" / f"{SAMPLE_EVENT}.json"
    try:
        event = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PackError(
            f"A cold start is measured with the event {file}, which cannot be read: {error}. "
            "Restore it, or pack with --no-measure."
        ) from None
    is_lambda = request.stage == "lambda"
    app = f"functions.{request.function}.app"
    environ = (
        {
            "AWS_LAMBDA_FUNCTION_NAME": f"farthing-{request.function}",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(size.memory_mb),
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(function.timeout_s),
            "AWS_REGION": "us-east-1",
        }
        if is_lambda
        else {
            "FARTHING_PLATFORM": "knative",
            "FARTHING_MEMORY_MB": str(size.memory_mb),
            "FARTHING_VCPU_MILLI": str(max(1, round(size.vcpus * 1000))),
        }
    )
    module = ["awslambdaric", f"{app}.handler"] if is_lambda else ["uvicorn"]
    return {
        "kind": request.stage,
        "command": ["python3", "-m", *module],
        "environ": environ,
        "event": event,
        "rounds": rounds,
        "bare": (files("farthing.deployment.pack") / "bare.py").read_text(encoding="utf-8"),
        "bundle": f"/opt/models/{function.models[0]}" if function.models else "",
        "text": "bosch series 4 freestanding fridge freezer stainless steel",
    }


def _total(image: str, answer: str) -> str:
    """The price in the answer, which an HTTP event's answer has in its body."""
    try:
        body = json.loads(answer)
        body = json.loads(body["body"]) if "statusCode" in body else body
        return str(body["charge"]["total"])
    except (ValueError, KeyError, TypeError):
        raise PackError(
            f"{image} started, but its first answer has no price: {answer[:300]}. "
            "Run the image by hand and read its log."
        ) from None
