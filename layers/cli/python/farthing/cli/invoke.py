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
    function: Annotated[str, typer.Argument(help="classify or embed.")],
    texts: Annotated[list[str] | None, typer.Argument(help="Texts to answer about.")] = None,
    event: Annotated[
        Path | None,
        typer.Option(
            help="A platform's event instead of texts; see functions/*/events.", exists=True
        ),
    ] = None,
    platform: Platform = PricedAs.LAMBDA,
    models: Models = None,
    model: Model = None,
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
        _show(answer)
    if "results" not in answer and "data" not in answer:
        raise typer.Exit(1)


def _ask(service: Service, texts: list[str]) -> dict[str, Any]:
    import msgspec

    contract = service.contracts[0]
    request = msgspec.to_builtins(contract.request_type(texts))
    envelope = service.platform.envelope({})
    body: dict[str, Any] = service.pipeline.invoke(contract, request, envelope).body
    return body


def _read_event(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except (ValueError, OSError) as error:
        raise SettingsError(
            f"{file} cannot be read as a JSON event: {error}. See functions/*/events for samples."
        ) from None


def _replay(service: Service, event: Any) -> dict[str, Any]:
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
    body: dict[str, Any] = json.loads(answer["body"]) if "statusCode" in answer else answer
    return body


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


async def _send(app: ASGIApp, event: dict[str, Any]) -> dict[str, Any]:
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
    body: dict[str, Any] = json.loads(bytes(received))
    return body


def _show(answer: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if "results" not in answer and "data" not in answer:
        Console(stderr=True, highlight=False).print(f"{answer['title']}: {answer['detail']}")
        return
    results = Table("input", "answer")
    for index, labels in enumerate(answer.get("results", ())):
        best = ", ".join(f"{item['label']} {item['score']:.3f}" for item in labels[:3])
        results.add_row(str(index), best)
    for item in answer.get("data", ()):
        vector = item["embedding"]
        start = vector if isinstance(vector, str) else ", ".join(f"{x:.4f}" for x in vector[:4])
        results.add_row(str(item["index"]), f"[{start[:60]}, …] ({len(vector)} values)")
    console.print(results)
    charge, usage = answer["charge"], answer["usage"]
    lines = Table("rule", "quantity", "unit", "rate", "amount (USD)", show_footer=True)
    lines.columns[3].footer = "total"
    lines.columns[4].footer = charge["total"]
    for line in charge["lines"]:
        lines.add_row(*(line[key] for key in ("rule", "quantity", "unit", "rate", "amount")))
    console.print(lines)
    console.print(
        f"{usage['prompt_tokens']} tokens, {usage['busy_ms']:.2f} ms busy, "
        f"{usage['billed_ms']} ms billed at {usage['memory_mb']} MB; {charge['basis']}, "
        f"price book {charge['price_book']}"
    )
