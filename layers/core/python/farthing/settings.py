"""The process's settings: one frozen object, read from the environment once, at the edge."""

from __future__ import annotations

import platform as host_machine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import msgspec

from farthing.cores import usable_cores
from farthing.errors import SettingsError
from farthing.hosts import DEFAULTS, HostName, PlatformName, find_host, from_platform

if TYPE_CHECKING:
    from collections.abc import Mapping

Access = Literal["platform", "keys", "local"]
# Where each invocation's entry goes: a line of the platform's log, or a file beside the process
# whose contents are sent to the ledger in groups.
RecorderName = Literal["line", "spool", "none"]
# How Lambda started the environment, as its runtime says; what init costs depends on it.
Initialization = Literal[
    "on-demand", "provisioned-concurrency", "snap-start", "lambda-managed-instances"
]

PREFIX = "FARTHING_"
# The key that signs receipts is for the ledger's keeper, who serves nobody.
READ_ELSEWHERE = {PREFIX + "SIGNING_KEY"}
LISTS = {"model", "index", "keys", "revoked"}

# AWS sells CPU with memory: 1,769 MB are one vCPU.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
LAMBDA_MB_PER_VCPU = 1769

YEAR_S = 365 * 24 * 3600

Positive = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`host` is where the process runs; `platform` is the one whose prices apply.

    They differ only on `local`, where a price is simulated.
    """

    host: HostName
    platform: PlatformName
    region: str
    arch: Literal["x86_64", "arm64"]
    memory_mb: Positive
    vcpu_milli: Positive
    payload_max_bytes: Positive
    disk_mb: Positive = 512
    node: str = "c7i.xlarge"
    concurrency: Positive = 1
    models: Path
    model: tuple[str, ...] = ()
    bundle_digest: str | None = None
    indexes: Path
    index: tuple[str, ...] = ()
    index_cache: Path = Path("/tmp/farthing-index")  # noqa: S108 - the only writable path of an image
    index_poll_s: NotNegative = 60
    index_writes: Literal["off", "queue", "apply"] = "off"
    jobs: str = ""
    webhook_secret: str = ""
    batch_task: Literal["classify", "embed"] = "classify"
    batch_id: str = ""
    batch_text: str = "text"
    batch_out: str = ""
    batch_format: Literal["jsonl", "parquet"] = "jsonl"
    batch_shard_rows: Positive = 20_000
    batch_queue: str = ""
    batch_dead_letters: str = ""
    batch_state_machine: str = ""
    cache: str = "off"
    cache_max_mb: Positive = 32
    cache_ttl_s: Annotated[int, msgspec.Meta(ge=0, le=YEAR_S)] = 3600
    cache_wait_ms: Positive = 5
    cache_scope: Literal["tenant", "service"] = "tenant"
    cache_vectors: Literal["float32", "float16", "int8"] = "float32"
    queue_max_ms: Positive = 1000
    objects: Path | None = None
    threads: Positive | None = None
    workers: Positive | None = None
    inputs_max: Positive = 2048
    input_max_chars: Positive = 100_000
    timeout_ms: Positive = 30_000
    access: Access = "platform"
    keys: tuple[str, ...] = ()
    tenant: str = "default"
    revoked: tuple[str, ...] = ()
    plan: str = ""
    plans: str = ""
    initialization: Initialization = "on-demand"
    overhead_us: NotNegative = 0
    function: str = "farthing"
    ledger: str = ""
    recorder: RecorderName = "none"
    spool: Path = Path("/tmp/farthing-spool")  # noqa: S108 - the only writable path of an image
    spool_max_mb: Positive = 64
    idle: Literal["billed", "free"] = "free"
    budget_outage: Literal["closed", "open"] = "closed"

    @property
    def cores(self) -> int:
        """Whole cores that computing may use: the vCPU share rounded down, at least 1."""
        share = max(1, self.vcpu_milli // 1000)
        return min(share, usable_cores())

    @property
    def calls_at_once(self) -> int:
        """Calls computed side by side: one if the platform sends single calls, else a core each."""
        if self.workers is not None:
            return self.workers
        if self.host == "local":
            return usable_cores()
        singly = self.host == "lambda" or (self.host == "fc" and self.concurrency == 1)
        return 1 if singly else self.cores

    @property
    def threads_per_call(self) -> int:
        """Cores that one call may use: all that the calls beside it leave."""
        return self.threads or max(1, self.cores // self.calls_at_once)

    @property
    def basis(self) -> Literal["measured", "simulated"]:
        return "simulated" if self.host == "local" else "measured"


def read_settings(environ: Mapping[str, str], **overrides: object) -> Settings:
    """Settings from the environment; `overrides` beat it.

    Raises `SettingsError` naming the variable, what it holds and what it may be.
    """
    host = find_host(environ)
    given: dict[str, object] = from_platform(host, environ)
    given.update(_from_variables(environ))
    given.update({name: value for name, value in overrides.items() if value is not None})
    if given.get("ledger") and host in {"knative", "local"}:
        given.setdefault("recorder", "spool")
    values = {**DEFAULTS[host], **given, "host": host}
    values.setdefault("platform", "lambda" if host == "local" else host)
    values.setdefault(
        "arch", "arm64" if host_machine.machine() in {"aarch64", "arm64"} else "x86_64"
    )
    values.setdefault("models", str(_shipped("models")))
    values.setdefault("indexes", str(_shipped("indexes")))
    if host == "local":
        for name, value in DEFAULTS[cast("HostName", values["platform"])].items():
            if name not in {"recorder", "idle", "cache"}:
                values.setdefault(name, value)
        values.setdefault("memory_mb", 1024)
        values.setdefault("access", "keys" if values.get("keys") else "local")
        values.setdefault("tenant", "local")
    if "memory_mb" in values and values["platform"] == "lambda":
        memory_mb = str(values["memory_mb"])
        # What is no number is refused as such below.
        share_milli = int(memory_mb) * 1000 // LAMBDA_MB_PER_VCPU if memory_mb.isdecimal() else 1
        values.setdefault("vcpu_milli", max(1, share_milli))
    if host == "local":
        values.setdefault("vcpu_milli", 1000)
    return _checked(values)


def known_variables() -> set[str]:
    """Every FARTHING_* variable that is read; any other of that prefix would do nothing."""
    names = {field.name for field in msgspec.structs.fields(Settings)} - {"host"}
    return {PREFIX + name.upper() for name in names} | READ_ELSEWHERE


def _from_variables(environ: Mapping[str, str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for field in msgspec.structs.fields(Settings):
        text = environ.get(PREFIX + field.name.upper(), "")
        if text and field.name not in {"host", "platform"}:
            found[field.name] = text.split(",") if field.name in LISTS else text
    return found


def _shipped(kind: Literal["models", "indexes"]) -> Path:
    """What lies beside the code: `farthing/models` in a wheel, `layers/models` in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / kind
    return installed if installed.is_dir() else package.parents[2] / kind


def _checked(values: dict[str, object]) -> Settings:
    missing = [
        PREFIX + field.name.upper()
        for field in msgspec.structs.fields(Settings)
        if field.required and field.name not in values
    ]
    if missing:
        raise SettingsError(
            f"On {values['host']} Farthing cannot price a call without {', '.join(missing)}. "
            "Set to what the platform was told (memory in MB, CPU in thousandths of a vCPU)."
        )
    try:
        settings = msgspec.convert(values, Settings, strict=False, dec_hook=_as_path)
    except msgspec.ValidationError as error:
        expectation, _, path = str(error).partition(" - at `$.")
        variable = PREFIX + path.rstrip("`").partition("[")[0].upper()
        raise SettingsError(
            f"{variable} is not usable: {expectation}. Correct or unset it."
        ) from None
    if settings.access == "keys" and not settings.keys:
        raise SettingsError(
            "FARTHING_ACCESS is keys, but FARTHING_KEYS is empty, so nobody could call. "
            "Set FARTHING_KEYS to what `farthing keys init` prints."
        )
    if settings.access == "local" and settings.host != "local":
        raise SettingsError(
            f"FARTHING_ACCESS is local on {settings.host}, which would let anyone call. "
            "Set it to platform (the platform authenticates) or keys."
        )
    return settings


def _as_path(_type: type, value: object) -> Path:
    return Path(str(value)).expanduser()
