"""An index of one's own: where it is read, who writes it, and what becomes of what is old."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

from farthing.deployment.alibaba.events import index_folders
from farthing.deployment.alibaba.shape import Fault
from farthing.deployment.alibaba.stack import FOLDER
from farthing.deployment.alibaba.triggers import OssTrigger, TimerTrigger
from farthing.deployment.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from farthing.deployment.alibaba.models import FunctionProps
    from farthing.deployment.project import Project

SEARCH, INDEXER = "search", "indexer"
LIFECYCLE = f"{FOLDER}/oss-lifecycle.xml"
# What search appends to its queue, and where old versions are put away.
WRITES, ARCHIVE = "writes/", "archive/"
COLD = ("ColdArchive", "DeepColdArchive")
# What deep cold archive bills at least:
# https://www.alibabacloud.com/help/en/oss/user-guide/overview-53 (2026-06)
BILLED_DAYS_MIN = 180
ENVIRONMENT = "environmentVariables.FARTHING_"


def index_faults(props: FunctionProps, name: str) -> Iterator[Fault]:
    """An index that is read where nothing is mounted, or written by more than one."""
    mounts = props.oss_mount_config.mount_points if props.oss_mount_config else []
    writable = {it.mount_dir: not it.read_only for it in mounts}
    writes = props.environment_variables.get("FARTHING_INDEX_WRITES", "off")
    has_nas = props.nas_config is not None
    for folder in index_folders(props):
        if folder not in writable and not has_nas:
            says = f"The index is read from {folder}, where nothing is mounted."
            yield Fault(f"{ENVIRONMENT}INDEX", says, "Mount its bucket there.")
        is_writer = name == INDEXER or writes == "queue"
        if folder in writable and writable[folder] != is_writer:
            says = (
                "Nothing can be queued or published there."
                if is_writer
                else "The mount can be written to, and the function writes nothing."
            )
            do = f"Write {'false' if is_writer else 'true'}."
            place = list(writable).index(folder)
            yield Fault(f"ossMountConfig.mountPoints.{place}.readOnly", says, do)
    if writes not in {"off", "queue"}:
        says = f"It is {writes!r}, so that every instance would publish by itself."
        yield Fault(f"{ENVIRONMENT}INDEX_WRITES", says, "Write queue: the indexer publishes.")


def writer_faults(functions: Mapping[str, FunctionProps]) -> Iterator[tuple[str, Fault]]:
    """What does not fit between search and the indexer; each fault with its function."""
    search, indexer = functions.get(SEARCH), functions.get(INDEXER)
    if search is not None and indexer is None:
        if search.environment_variables.get("FARTHING_INDEX_WRITES") == "queue":
            says = "Writes are queued, and nothing here publishes them."
            yield SEARCH, Fault(f"{ENVIRONMENT}INDEX_WRITES", says, "Add the indexer.")
        return
    if search is None or indexer is None:
        return
    if _buckets(search) != _buckets(indexer) or _index(search) != _index(indexer):
        says = "It publishes another index than search answers from."
        yield INDEXER, Fault(f"{ENVIRONMENT}INDEX", says, "Let both name and mount the same.")
    if search.environment_variables.get("FARTHING_INDEX_WRITES") != "queue":
        says = "The indexer waits for writes, and search queues none."
        yield SEARCH, Fault(f"{ENVIRONMENT}INDEX_WRITES", says, "Write queue.")
    if search.role == indexer.role:
        says = "Search may do all that the indexer may."
        yield SEARCH, Fault("role", says, "Name a role that writes the queue alone.")
    if indexer.concurrency_config.reserved_concurrency != 1:
        says = "An index has one writer at a time."
        yield INDEXER, Fault("concurrencyConfig.reservedConcurrency", says, "Write 1.")
    fired = [it for it in indexer.triggers if isinstance(it, OssTrigger)]
    if [it.trigger_config.filter.key.prefix for it in fired] != [WRITES] and _buckets(indexer):
        says = f"No trigger, or another, tells of what comes below {WRITES}."
        yield INDEXER, Fault("triggers", says, f"Add one oss trigger with the prefix {WRITES}.")
    if not any(isinstance(it, TimerTrigger) for it in indexer.triggers):
        says = "No timer makes up for a run that failed."
        yield INDEXER, Fault("triggers", says, "Add a timer.")


def check_lifecycle(project: Project) -> Iterator[Finding]:
    """The bucket's rules, which `ossutil` puts on it."""
    try:
        root = ElementTree.parse(project.root / LIFECYCLE).getroot()  # noqa: S314 - our own file
    except OSError:
        yield Finding(LIFECYCLE, "", "There is no such file.", "Restore it.")
        return
    except ElementTree.ParseError as error:
        yield Finding(LIFECYCLE, "", f"It is no XML: {error}.", "Correct it.")
        return
    rules = [it for it in root.iter("Rule") if it.findtext("Status") == "Enabled"]
    archived = [it for it in rules if it.findtext("Prefix") == ARCHIVE]
    everywhere = [it for it in rules if not it.findtext("Prefix")]
    moved = [_days(it, "NoncurrentVersionTransition/NoncurrentDays") for it in everywhere]
    gone = [_days(it, "NoncurrentVersionExpiration/NoncurrentDays") for it in everywhere]
    wanted = {
        f"what is below {ARCHIVE} goes to cold archive": any(
            it.findtext("Transition/StorageClass") in COLD and _days(it, "Transition/Days")
            for it in archived
        ),
        "replaced versions go to cold archive": any(
            it.findtext("NoncurrentVersionTransition/StorageClass") in COLD for it in everywhere
        )
        and any(moved),
        f"replaced versions go for good, {BILLED_DAYS_MIN} days later or more": any(
            day >= max(moved, default=0) + BILLED_DAYS_MIN for day in gone
        ),
        "uploads that never ended are aborted": any(
            0 < _days(it, "AbortMultipartUpload/Days") <= 7 for it in everywhere
        ),
    }
    for what, holds in wanted.items():
        if not holds:
            yield Finding(LIFECYCLE, "Rule", f"No rule says that {what}.", "Restore it.")
    if any(it.find("Expiration/Days") is not None for it in rules):
        says = "A rule deletes what the index is made of."
        yield Finding(LIFECYCLE, "Rule.Expiration", says, "Take it out.")


def _days(rule: ElementTree.Element, path: str) -> int:
    text = rule.findtext(path) or ""
    return int(text) if text.isdecimal() else 0


def _buckets(props: FunctionProps) -> list[str]:
    mounts = props.oss_mount_config.mount_points if props.oss_mount_config else []
    return [it.bucket_name for it in mounts if it.mount_dir in index_folders(props)]


def _index(props: FunctionProps) -> str | None:
    return props.environment_variables.get("FARTHING_INDEX")
