"""`farthing serve`: all functions in one process."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
from typing import TYPE_CHECKING, Annotated

import typer

from farthing.cli.options import (
    Index,
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

if TYPE_CHECKING:
    from farthing.serving.service import Service

KEEP_ALIVE_S = 75
DRAIN_S = 30
BACKLOG = 2048


def serve(
    platform: Platform = PricedAs.LAMBDA,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8080,
    models: Models = None,
    model: Model = None,
    index: Index = None,
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
    shows them. Requests with priority low are computed when there is time, at a lower price. On
    loopback no key is needed; any other address needs FARTHING_KEYS.
    """
    import uvicorn
    from rich.console import Console

    from farthing.search.addresses import index_addresses
    from farthing.serving.connections import Connection
    from farthing.serving.registry import FUNCTIONS
    from farthing.serving.service import Service

    settings = local_settings(
        platform=platform.value,
        models=models,
        model=model,
        index=index,
        memory_mb=memory_mb,
        vcpu_milli=vcpu_milli,
        workers=workers,
        ledger=ledger_address(ledger),
        jobs=os.environ.get("FARTHING_JOBS") or str(default_ledger_file().parent / "jobs"),
        cache=os.environ.get("FARTHING_CACHE") or "memory",
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
    console = Console(stderr=True, highlight=False)
    functions = list(FUNCTIONS)
    if not index_addresses(settings):
        functions.remove("search")
        console.print(
            "There is no index, so nothing is searched. `farthing index build` makes one; "
            "serve it with --index."
        )
    service = Service(functions, settings)
    if cold:
        service.pipeline.instance.started(service.load_ns)
    service.warm_up()
    shown_host = f"[{host}]" if ":" in host else host
    address = f"http://{shown_host}:{listener.getsockname()[1]}"
    console.print(
        f"Serving {', '.join(dict.fromkeys(one.name for one in service.pipeline.models))} on "
        f"{address} as if on {platform.value} ({settings.memory_mb} MB, "
        f"{settings.vcpu_milli / 1000:g} vCPU). Documentation: {address}/docs"
    )
    config = uvicorn.Config(
        service.app,
        http=Connection,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
    )
    _compute_what_waits(service)
    uvicorn.Server(config).run(sockets=[listener])


def _compute_what_waits(service: Service) -> None:
    """Starts the thread that computes requests with priority low and batches, until the end.

    Raises `SettingsError` where FARTHING_JOBS or FARTHING_WEBHOOK_SECRET is not usable.
    """
    from farthing.batch.background import Background
    from farthing.batch.openai import BatchFileRunner
    from farthing.batch.requests import RequestWorker, deliveries_of

    store = service.pipeline.desk.store
    if store is None:
        return
    deliveries = deliveries_of(store, service.settings)
    worker = RequestWorker(store, lambda _task: service, deliveries)
    batches = BatchFileRunner(store.storage, lambda _task: service)
    background = Background(store, [worker.run_pending, batches.run_pending])
    service.before_stop.append(background.stop)
    background.start()


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
