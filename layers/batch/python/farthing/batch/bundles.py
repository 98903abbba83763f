"""Which bundle a job is scored with; nothing is loaded yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.batch.errors import JobInvalid
from farthing.errors import BundleMissing
from farthing.inference.bundle import Bundle, find_bundles

if TYPE_CHECKING:
    from farthing.batch.job import Job
    from farthing.settings import Settings


def choose_bundle(task: str, model: str | None, settings: Settings) -> Bundle:
    """The bundle of that task which `model` names, or the one that a server would take.

    Raises `JobInvalid` naming the models that there are, `BundleMissing` for none of the task,
    and `BundleCorrupt` where its files are not what was shipped.
    """
    found = {manifest.name: path for path, manifest in find_bundles(settings.models, task)}
    if not found:
        raise BundleMissing(
            f"{settings.models} holds no bundle for the task {task}. Build it with `make bundles`, "
            "or point FARTHING_MODELS at a folder of bundles."
        )
    name = model or next((name for name in settings.model if name in found), min(found))
    if name not in found:
        raise JobInvalid(
            f"There is no model {name!r} for the task {task}; there is "
            f"{', '.join(sorted(found))}. Name one of those, or leave the model out."
        )
    return Bundle.open(found[name], settings.bundle_digest)


def bundle_of(job: Job, settings: Settings) -> Bundle:
    """The bundle that the job was planned for.

    Raises `BundleMissing`, and `BundleCorrupt` where the one of that name is another.
    """
    for path, manifest in find_bundles(settings.models, job.task):
        if manifest.name == job.model:
            return Bundle.open(path, job.bundle_digest)
    raise BundleMissing(
        f"The job {job.id} is scored with {job.model}, which {settings.models} does not hold. "
        "Put that bundle there, or point FARTHING_MODELS at the folder that has it."
    )
