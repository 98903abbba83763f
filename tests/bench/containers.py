"""Images in containers held to Lambda's limits: sizes, cold starts beside a bare floor, memory.

Builds with whichever engine there is; FARTHING_BASE_IMAGE and FARTHING_BUILD_IMAGE name the images
to build on, by default the pair that infra/docker/base/build.sh makes.
"""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING

from farthing.deployment.pack.cold import SIZES, measure
from farthing.deployment.pack.engine import RUNNERS, PackError, find_engine
from farthing.deployment.pack.images import Request, build_image
from farthing.deployment.pack.layers import read_layers
from farthing.deployment.project import Project
from tests.bench.results import Result, at_most, compared
from tests.bench.surroundings import ROOT, skip

if TYPE_CHECKING:
    from farthing.deployment.pack.engine import Engine
    from farthing.deployment.pack.images import ImageTarget

ABOVE_BASE_MB_MAX = 52
HTTP_MB_MAX = 100
COLD_RATIO_MAX = 1.4
# Of 512 MB, 30 % are to be spare.
PEAK_MB_MAX = 358
FUNCTION = "classify"
TARGETS: tuple[ImageTarget, ...] = ("lambda-image", "http-image")
BASES = {
    "base_image": os.environ.get("FARTHING_BASE_IMAGE", "localhost/farthing-base:bookworm"),
    "build_image": os.environ.get("FARTHING_BUILD_IMAGE", "localhost/farthing-build:bookworm"),
}


def run(rounds: int) -> list[Result]:
    """Layers from the base up, then seconds from the exec of the entry point to the answer."""
    if platform.machine() != "x86_64":
        skip("containers", "the images are measured on x86_64")
        return []
    project = Project.read(ROOT)
    results: list[Result] = []
    try:
        builder, runner = find_engine(), find_engine(of=RUNNERS)
        for target in TARGETS:
            request = Request(FUNCTION, target, **BASES)
            image = build_image(project, builder, request)
            results += _sizes(builder, image, target)
            results += _starts(project, runner, request, image, rounds)
    except PackError as error:
        skip("containers", str(error))
    return results


def _sizes(engine: Engine, image: str, target: ImageTarget) -> list[Result]:
    layers = read_layers(engine, image)
    results = [
        Result(f"{target}, {layer.holds}, compressed", layer.compressed / 1e6, unit="MB")
        for layer in layers
    ]
    if target == "lambda-image":
        above_base = [layer for layer in layers if layer.holds != "base"]
        size_mb = sum(layer.compressed for layer in above_base) / 1e6
        results.append(at_most(f"{target}, above its base", size_mb, ABOVE_BASE_MB_MAX, "MB"))
    else:
        size_mb = sum(layer.compressed for layer in layers) / 1e6
        results.append(at_most(f"{target}, in all", size_mb, HTTP_MB_MAX, "MB"))
    return results


def _starts(
    project: Project, engine: Engine, request: Request, image: str, rounds: int
) -> list[Result]:
    results = []
    for size in SIZES:
        start = measure(project, engine, request, image, size, rounds)
        name = f"{request.target}, cold start at {size.name}, against a bare script"
        target, met = f"≤ {COLD_RATIO_MAX} × peer", start.ratio <= COLD_RATIO_MAX
        results.append(compared(name, start.taken_s, start.floor_s, "s", target, met))
        results.append(compared("of that, CPU time", start.cpu_s, start.floor_cpu_s, "s"))
    peak = f"{request.target}, peak memory at {size.name}"
    results.append(at_most(peak, start.peak_mb, PEAK_MB_MAX, "MB"))
    return results
