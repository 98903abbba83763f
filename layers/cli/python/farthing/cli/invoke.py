"""`farthing invoke`: one answer with its price, without a server."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farthing.cli.options import (
    AsJson,
    Index,
    MemoryMb,
    Model,
    Models,
    Platform,
    PricedAs,
    VcpuMilli,
    local_settings,
)
from farthing.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from starlette.types import ASGIApp

    from farthing.serving.service import Service


def invoke(
    function: Annotated[str, typer.Argument(help="classify, embed or search.")],
    texts: Annotated[
        list[str] | None, typer.Argument(help="Texts to answer about; for search a query.")
    ] = None,
    event: Annotated[
        Path | None,
        typer.Option(
            help="A platform's event instead of texts; see functions/*/events.", exists=True
        ),
    ] = None,
    platform: Platform = PricedAs.LAMBDA,
    models: Models = None,
    model: Model = None,
    index: Index = None,
    memory_mb: MemoryMb = None,
    vcpu_milli: VcpuMilli = None,
    as_json: AsJson = False,
) -> None:
    """Answer once and show what it would cost.

    The price is that of a warm call on [b]--platform[/b]. With --event the function answers as
    it would answer that platform, and exits 1 if the answer is a refusal.
    """
    from farthing.serving.registry import FUNCTIONS
    from farthing.serving.service import Service

    if function not in FUNCTIONS:
        raise SettingsError(
            f"There is no function {function!r}. Use one of {', '.join(FUNCTIONS)}."
        )
    if bool(texts) == bool(event):
        raise SettingsError("invoke needs either texts or --event FILE. Give one of them.")
    settings = local_settings(
        platform=platform.value,
        models=models,
        model=model,
        index=index,
        memory_mb=memory_mb,
        vcpu_milli=vcpu_milli,
    )
    service = Service([function], settings)
    service.warm_up()
    if event is not None:
        answer = _replay(service, _read_event(event))
    else:
        answer = _ask(service, list(texts or ()))
    if as_json:
        sys.stdout.write(json.dumps(answer, indent=2, ensure_ascii=False) + "\n")
    else:
        from farthing.cli.answers import show

        show(answer)
    if _is_refusal(answer):
        raise typer.Exit(1)


def _ask(service: Service, texts: list[str]) -> Any:
    contract = service.contracts[0]
    envelope = service.platform.envelope({})
    return service.pipeline.invoke(contract, contract.asking(texts), envelope).body


def _is_refusal(answer: Any) -> bool:
    return isinstance(answer, dict) and "title" in answer


def _read_event(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except (ValueError, OSError) as error:
        raise SettingsError(
            f"{file} cannot be read as a JSON event: {error}. See functions/*/events for samples."
        ) from None


def _replay(service: Service, event: Any) -> Any:
    """The answer's JSON body, whichever kind of event it was."""
    from farthing.serving.platforms.aws_lambda import build_handler

    if isinstance(event, dict) and {"method", "path"} <= event.keys():
        return asyncio.run(_send(_as_platform(service, event), event))
    if isinstance(event, dict) and "specversion" in event:
        headers = {"content-type": "application/cloudevents+json"}
        request = {"platform": "knative", "method": "POST", "path": "/", "headers": headers}
        request["body"] = json.dumps(event)
        return asyncio.run(_send(_as_platform(service, request), request))
    answer = build_handler(service)(event, None)
    return json.loads(answer["body"]) if "statusCode" in answer else answer


def _as_platform(service: Service, event: dict[str, Any]) -> ASGIApp:
    """The service's routes as the event's platform sees them; prices stay simulated."""
    from farthing.serving.http import App
    from farthing.serving.platforms.alibaba_fc import FunctionComputePlatform
    from farthing.serving.platforms.knative import KnativePlatform

    if event.get("platform") == "fc":
        service.platform = FunctionComputePlatform(service.settings)
    elif event.get("platform") == "knative":
        service.platform = KnativePlatform(service.settings)
    return App(service)


async def _send(app: ASGIApp, event: dict[str, Any]) -> Any:
    """The JSON body of an ASGI application's response to a described request."""
    headers = {"content-type": "application/json", **event.get("headers", {})}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": event["method"],
        "scheme": "http",
        "path": event["path"],
        "raw_path": event["path"].encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }
    received = bytearray()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": event.get("body", "").encode()}

    async def send(message: MutableMapping[str, Any]) -> None:
        received.extend(message.get("body", b""))

    await app(scope, receive, send)
    # A ping's answer on Knative is empty: an event in return would be an event for nobody.
    return json.loads(bytes(received)) if received else {}
