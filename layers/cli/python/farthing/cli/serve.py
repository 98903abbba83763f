"""`farthing serve`: all functions in one process."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
from typing import Annotated

import typer

from farthing.cli.options import (
    Ledger,
    MemoryMb,
    Model,
    Models,
    Platform,
    PricedAs,
    VcpuMilli,
    default_ledger_file,
    ledger_address,
    local_settings,
)
from farthing.errors import SettingsError

KEEP_ALIVE_S = 75
DRAIN_S = 30
BACKLOG = 2048


def serve(
    platform: Platform = PricedAs.LAMBDA,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8080,
    models: Models = None,
    model: Model = None,
    memory_mb: MemoryMb = None,
    vcpu_milli: VcpuMilli = None,
    cold: Annotated[bool, typer.Option(help="Price the first answer as a cold start.")] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, show_default=False, help=r"Texts computed at once. \[default: cores]"),
    ] = None,
    ledger: Ledger = None,
) -> None:
    """Serve every function over HTTP until stopped; prices are simulated.

    Answers are those of the deployed function; the charge is what the call would cost on
    [b]--platform[/b]. Every call is kept in the ledger: `farthing bill usage --tenant local`
    shows them. On loopback no key is needed; any other address needs FARTHING_KEYS.
    """
    import uvicorn
    from rich.console import Console

    from farthing.serving.registry import FUNCTIONS
    from farthing.serving.service import Service

    settings = local_settings(
        platform=platform.value,
        models=models,
        model=model,
        memory_mb=memory_mb,
        vcpu_milli=vcpu_milli,
        workers=workers,
        ledger=ledger_address(ledger),
        spool=os.environ.get("FARTHING_SPOOL") or str(default_ledger_file().parent / "spool"),
    )
    if settings.access != "keys" and not _is_loopback(host):
        raise SettingsError(
            f"{host} can be reached from outside and FARTHING_KEYS is empty, so anyone could "
            "call. Listen on 127.0.0.1, or set FARTHING_KEYS (`farthing keys init` makes one)."
        )
    logging.basicConfig(level=logging.WARNING)
    # The port is taken first: a model is not worth loading for an address already in use.
    listener = _listen(host, port)
    service = Service(list(FUNCTIONS), settings)
    if cold:
        service.pipeline.started(service.load_ns)
    service.warm_up()
    shown_host = f"[{host}]" if ":" in host else host
    address = f"http://{shown_host}:{listener.getsockname()[1]}"
    Console(stderr=True, highlight=False).print(
        f"Serving {', '.join(answerer.name for answerer in service.pipeline.models)} on "
        f"{address} as if on {platform.value} ({settings.memory_mb} MB, "
        f"{settings.vcpu_milli / 1000:g} vCPU). Documentation: {address}/docs"
    )
    config = uvicorn.Config(
        service.app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
    )
    uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises `SettingsError` where the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise SettingsError(
            f"{host} port {port} cannot be listened on ({error.strerror}). Choose another --port."
        ) from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
