"""A stand-in for Function Compute's API on loopback, and the calls that a deployment makes.

The client and its signed requests are Alibaba's own. The stand-in is not: it takes what the
service is documented to take, by the models of our checker, and is not verified against the
service. `requests_of` says what the fc3 component makes of a resource's properties.
"""

from __future__ import annotations

import copy
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from alibabacloud_fc20230330 import models as api
from alibabacloud_fc20230330.client import Client
from alibabacloud_tea_openapi.models import Config
from pydantic import TypeAdapter, ValidationError

from farthing.deployment.alibaba.models import AsyncInvoke, Concurrency, FunctionInput, Scaling
from farthing.deployment.alibaba.triggers import Trigger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = "2023-03-30"
# A busy machine may be slow to answer, and a client that gives up asks for what is there already.
ANSWER_MS = 60_000
# What the component makes around a function, in requests of their own.
AROUND = ("region", "triggers", "asyncInvokeConfig", "concurrencyConfig", "scalingConfig")
# What `logConfig: auto` becomes: src/subCommands/deploy/impl/function of github.com/devsapp/fc3.
AUTO_LOG = {
    "project": "serverless-ap-southeast-1",
    "logstore": "default-logs",
    "enableInstanceMetrics": True,
    "enableRequestMetrics": True,
    "logBeginRule": "DefaultRegex",
}


class Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class Service:
    """Holds what was created, and `log`, the requests in order."""

    def __init__(self) -> None:
        self.functions: dict[str, dict[str, Any]] = {}
        self.log: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def client(self) -> Client:
        port = self._server.server_port
        return Client(
            Config(
                access_key_id="id",
                access_key_secret="secret",
                endpoint=f"127.0.0.1:{port}",
                protocol="http",
                no_proxy="127.0.0.1",
                connect_timeout=ANSWER_MS,
                read_timeout=ANSWER_MS,
            )
        )

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> Any:
        """The answer's JSON. Raises `Refused`."""
        if not headers.get("Authorization", "").startswith("ACS3-HMAC-SHA256 Credential=id,"):
            raise Refused(403, "SignatureNotMatch", "The request is not signed.")
        if headers.get("x-acs-version") != ROOT:
            raise Refused(400, "InvalidVersion", "The API's version is another.")
        url = urlsplit(target)
        self.log.append(f"{method} {target}")
        parts = [unquote(it) for it in url.path.strip("/").split("/")]
        if parts[:2] != [ROOT, "functions"]:
            raise Refused(404, "UnknownPath", url.path)
        content = json.loads(body) if body else {}
        if (method, len(parts)) == ("POST", 2):
            return self._create_function(content)
        if parts[2] not in self.functions:
            raise Refused(404, "FunctionNotFound", f"function {parts[2]} does not exist")
        qualifier = parse_qs(url.query).get("qualifier", ["LATEST"])[0]
        routes: dict[tuple[str, str], Callable[..., Any]] = {
            ("PUT", "concurrency"): self._put_concurrency,
            ("PUT", "scaling-config"): self._put_scaling,
            ("PUT", "async-invoke-config"): self._put_async,
            ("POST", "triggers"): self._create_trigger,
            ("POST", "versions"): self._publish,
            ("POST", "aliases"): self._set_alias,
            ("PUT", "aliases"): self._set_alias,
        }
        route = routes.get((method, parts[3]))
        if route is None:
            raise Refused(404, "UnknownPath", url.path)
        return route(self.functions[parts[2]], content, qualifier)

    def _create_function(self, content: dict[str, Any]) -> Any:
        tags = [{"key": it.get("Key"), "value": it.get("Value")} for it in content.get("tags", [])]
        made = _valid(FunctionInput, {**content, "tags": tags})
        if made.function_name in self.functions:
            raise Refused(409, "FunctionAlreadyExists", made.function_name)
        self.functions[made.function_name] = {"function": content, "triggers": {}, "versions": []}
        return content

    def _put_concurrency(self, function: dict[str, Any], content: Any, qualifier: str) -> Any:
        _valid(Concurrency, content)
        function["concurrency"] = content
        return content

    def _put_scaling(self, function: dict[str, Any], content: Any, qualifier: str) -> Any:
        if qualifier.isdecimal():
            raise Refused(400, "InvalidArgument", "only an alias or LATEST has a floor")
        _valid(Scaling, content)
        function["scaling"] = content
        return content

    def _put_async(self, function: dict[str, Any], content: Any, qualifier: str) -> Any:
        _valid(AsyncInvoke, content)
        function["async"] = content
        return content

    def _create_trigger(self, function: dict[str, Any], content: Any, qualifier: str) -> Any:
        trigger = {**content, "triggerConfig": json.loads(content.get("triggerConfig", "null"))}
        made = _valid(TypeAdapter(Trigger), trigger)
        if made.trigger_name in function["triggers"]:
            raise Refused(409, "TriggerAlreadyExists", made.trigger_name)
        if made.qualifier != "LATEST" and made.qualifier not in function.get("aliases", {}):
            raise Refused(404, "AliasNotFound", made.qualifier)
        function["triggers"][made.trigger_name] = trigger
        return content

    def _publish(self, function: dict[str, Any], content: Any, qualifier: str) -> Any:
        function["versions"].append(str(len(function["versions"]) + 1))
        return {"versionId": function["versions"][-1]}

    def _set_alias(self, function: dict[str, Any], content: Any, qualifier: str) -> Any:
        weights = content.get("additionalVersionWeight") or {}
        for version in (content.get("versionId"), *weights):
            if version not in function["versions"]:
                raise Refused(404, "VersionNotFound", f"version {version} does not exist")
        if not all(0 <= weight <= 1 for weight in weights.values()):
            raise Refused(400, "InvalidArgument", "a weight is a fraction from 0 to 1")
        function.setdefault("aliases", {})[content["aliasName"]] = content
        return content

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                try:
                    status, answer = (
                        200,
                        service.answer(self.command, self.path, self.headers, body),
                    )
                except Refused as refusal:
                    status = refusal.status
                    answer = {"Code": refusal.code, "Message": refusal.message, "RequestId": "1"}
                payload = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            do_POST = do_PUT = _serve  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Nothing: the tests read `log`."""

        return Handler


def requests_of(props: dict[str, Any]) -> Iterator[Callable[[Client], Any]]:
    """The requests that deploy a resource, in the component's order."""
    name = props["functionName"]
    function = api.CreateFunctionInput().from_map(function_input(props))
    yield lambda client: client.create_function(api.CreateFunctionRequest(body=function))
    concurrency = api.PutConcurrencyInput().from_map(props["concurrencyConfig"])
    yield lambda client: client.put_concurrency_config(
        name, api.PutConcurrencyConfigRequest(body=concurrency)
    )
    scaling, scaled = _split(props["scalingConfig"])
    floor = api.PutScalingConfigInput().from_map(scaling)
    yield lambda client: client.put_scaling_config(
        name, api.PutScalingConfigRequest(body=floor, qualifier=scaled)
    )
    invocation, invoked = _split(props["asyncInvokeConfig"])
    retries = api.PutAsyncInvokeConfigInput().from_map(invocation)
    yield lambda client: client.put_async_invoke_config(
        name, api.PutAsyncInvokeConfigRequest(body=retries, qualifier=invoked)
    )
    for trigger in props["triggers"]:
        config = json.dumps(trigger["triggerConfig"])
        made = api.CreateTriggerInput().from_map({**trigger, "triggerConfig": config})
        yield lambda client, made=made: client.create_trigger(
            name, api.CreateTriggerRequest(body=made)
        )


def function_input(props: dict[str, Any]) -> dict[str, Any]:
    """The properties as CreateFunction takes them."""
    function = {key: copy.deepcopy(it) for key, it in props.items() if key not in AROUND}
    if function.get("logConfig") == "auto":
        function["logConfig"] = dict(AUTO_LOG)
    # The component's schema has them in lower case, the API's models in upper.
    function["tags"] = [{"Key": it["key"], "Value": it["value"]} for it in function["tags"]]
    return function


def _split(config: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The component's `qualifier` goes into the query, not into the body."""
    rest = dict(config)
    return rest, rest.pop("qualifier", "LATEST")


def _valid(model: Any, content: Any) -> Any:
    check = model.validate_python if isinstance(model, TypeAdapter) else model.model_validate
    try:
        return check(content)
    except ValidationError as error:
        raise Refused(400, "InvalidArgument", error.errors()[0]["msg"]) from None
