"""Where a process runs, and what that host says and takes for granted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast, get_args

from farthing.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

PlatformName = Literal["lambda", "fc", "knative"]
HostName = Literal["lambda", "fc", "knative", "local"]

MB = 1024 * 1024

# What a host is when nothing says otherwise. The body limits are the platforms' own: 6 MB for a
# synchronous Lambda call, 32 MB for Function Compute; Knative has none, so ours stands in.
# What serves keeps answers in the process: that costs nothing, and what lies elsewhere may.
DEFAULTS: dict[HostName, dict[str, object]] = {
    "lambda": {
        "region": "us-east-1",
        "disk_mb": 512,
        "payload_max_bytes": 6 * MB,
        "recorder": "line",
        "cache": "memory",
        # Between the platform's clock and the handler's: 0.6 to 0.7 ms on its own emulator.
        "overhead_us": 700,
    },
    "fc": {
        "region": "international",
        "disk_mb": 512,
        "payload_max_bytes": 32 * MB,
        "recorder": "line",
        "cache": "memory",
    },
    "knative": {
        "region": "us-east-1",
        "payload_max_bytes": 32 * MB,
        "recorder": "line",
        "cache": "memory",
        # A pod is paid for as long as it lives.
        "idle": "billed",
    },
    "local": {"payload_max_bytes": 6 * MB},
}

HOST_VARIABLES: dict[str, HostName] = {
    "AWS_LAMBDA_FUNCTION_NAME": "lambda",
    "FC_FUNCTION_NAME": "fc",
    "K_SERVICE": "knative",
}


def find_host(environ: Mapping[str, str]) -> HostName:
    """Where the process runs: as configured, else by the variables each platform itself sets."""
    configured = environ.get("FARTHING_PLATFORM", "")
    if configured:
        if configured not in get_args(HostName):
            raise SettingsError(
                f"FARTHING_PLATFORM is {configured!r}; it may be lambda, fc, knative or local. "
                "Set it to the platform the process runs on."
            )
        return cast("HostName", configured)
    for variable, host in HOST_VARIABLES.items():
        if variable in environ:
            return host
    return "local"


def from_platform(host: HostName, environ: Mapping[str, str]) -> dict[str, object]:
    """Settings that the host itself puts into the environment."""
    names = {
        "lambda": {
            "AWS_REGION": "region",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "memory_mb",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "initialization",
            "AWS_LAMBDA_FUNCTION_NAME": "function",
        },
        "fc": {"FC_FUNCTION_MEMORY_SIZE": "memory_mb", "FC_FUNCTION_NAME": "function"},
        "knative": {"K_SERVICE": "function"},
    }.get(host, {})
    found: dict[str, object] = {
        field: environ[variable] for variable, field in names.items() if variable in environ
    }
    return found
