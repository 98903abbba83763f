"""Access: who may call, by URL and by HTTP API, and that nobody else may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from farthing.deployment.aws.names import CLASSIFY, PERMISSION, PLACE, alias_arn, serving
from farthing.deployment.aws.wanted import (
    ABSENT,
    Rule,
    exactly,
    hold,
    missing,
)
from farthing.serving.batches.routes import ROUTES
from farthing.serving.registry import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.aws.stack import Resource, Stack
    from farthing.deployment.findings import Finding
    from farthing.deployment.project import Project

API = "AWS::Serverless::HttpApi"
INVOKE = "lambda:InvokeFunction"
# What tells of requests that wait, whichever function took them.
WAITING = [
    ("GET", "/v1/jobs/{id}"),
    ("DELETE", "/v1/jobs/{id}"),
    *((method, path) for path, method, _ in ROUTES),
]
# API Gateway's name for a caller's AWS signature:
# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions-authtype.html
SIGNED = {
    "type": "apiKey",
    "name": "Authorization",
    "in": "header",
    "x-amazon-apigateway-authtype": "awsSigv4",
}


def check_access(project: Project, stack: Stack) -> Iterator[Finding]:
    for name in serving(project):
        function = stack.function(name)
        if function is not None:
            yield from hold(function, _settings(stack))
            yield from _url(stack, name)
    yield from _strangers(project, stack)
    yield from _api(project, stack)


def _settings(stack: Stack) -> Iterator[Rule]:
    keys = stack.by_keys
    secret = stack.parameters.get("KeysSecret")
    revoked = stack.parameters.get("RevokedKeys")
    access = f"Access is {'keys' if keys else 'iam'}"
    yield Rule("FunctionUrlConfig.AuthType", exactly("NONE" if keys else "AWS_IAM"), access)
    variables = "Environment.Variables.FARTHING_"
    yield Rule(f"{variables}ACCESS", exactly("keys" if keys else "platform"), access)
    yield Rule(
        f"{variables}KEYS",
        exactly(f"{{{{resolve:secretsmanager:{secret}}}}}") if keys else ABSENT,
        f"{access}, and what verifies keys comes from the secret that KeysSecret names",
    )
    yield Rule(
        f"{variables}REVOKED",
        exactly(revoked) if revoked else ABSENT,
        "RevokedKeys are refused, and none while it is empty",
    )


def _url(stack: Stack, name: str) -> Iterator[Finding]:
    arn = alias_arn(name)
    wanted = (
        {"Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"},
        {"Action": INVOKE, "InvokedViaFunctionUrl": True},
    )
    for properties in wanted:
        found = stack.one(PERMISSION, FunctionName=arn, Principal="*", **properties)
        if stack.by_keys and found is None:
            yield missing(
                "Resources",
                f"Access keys opens the URL of {name}, but no permission lets everyone use "
                f"{properties['Action']} on its alias, so every call would be refused.",
                f"Add an {PERMISSION} with {_words(properties)} and Principal '*'.",
            )


def _strangers(project: Project, stack: Stack) -> Iterator[Finding]:
    """Nobody may call without a signature, or a key that Farthing checks."""
    open_arns = {alias_arn(name) for name in serving(project)}
    for it in stack.of(PERMISSION):
        if it.get("Principal") != "*":
            if not it.get("SourceArn"):
                yield missing(
                    f"Resources.{it.id}.SourceArn",
                    f"Any account's {it.get('Principal')} may call the function.",
                    "Name the ARN of what calls it.",
                )
            continue
        through_url = it.get("FunctionUrlAuthType") == "NONE" or it.get("InvokedViaFunctionUrl")
        if not stack.by_keys or not through_url or it.get("FunctionName") not in open_arns:
            yield missing(
                f"Resources.{it.id}",
                "It lets everyone call a function without a signature and without a key.",
                "Give it the condition of Access keys, and open the function's URL only.",
            )


def _api(project: Project, stack: Stack) -> Iterator[Finding]:
    wanted = stack.chosen.get("HttpApi") == "on"
    apis = stack.of(API)
    if bool(apis) != wanted:
        yield missing(
            f"Resources.{apis[0].id}" if apis else "Resources",
            f"The parameter HttpApi is {'on' if wanted else 'off'}, and there is "
            f"{'no HTTP API' if wanted else 'one'}.",
            "Give the API the condition of that parameter.",
        )
    for api in apis:
        yield from hold(api, _definition(project, stack))
        routes = api.get("DefinitionBody.paths") or {}
        for name in serving(project):
            for path in _paths(name):
                yield from _route(stack, api, name, ("POST", path), routes.get(path))
        if stack.with_batch:
            for method, path in WAITING:
                yield from _route(stack, api, CLASSIFY, (method, path), routes.get(path))


def _paths(name: str) -> list[str]:
    return [it.path for it in FUNCTIONS[name].contracts] if name in FUNCTIONS else [f"/{name}"]


def _definition(project: Project, stack: Stack) -> Iterator[Rule]:
    body = "DefinitionBody."
    yield Rule("FailOnWarnings", exactly(True), "what API Gateway cannot read would be left out")
    yield Rule(body + "openapi", exactly("3.0.1"), "API Gateway reads OpenAPI 3.0")
    yield Rule(body + "info.title", exactly("farthing"), "an API has the stack's name")
    yield Rule(body + "info.version", exactly(project.version), "pyproject.toml has this version")
    if not stack.by_keys:
        yield Rule(
            body + "components.securitySchemes.AWS_IAM",
            exactly(SIGNED),
            "Access iam wants calls that are signed",
        )


def _route(
    stack: Stack, api: Resource, name: str, asked: tuple[str, str], route: Any
) -> Iterator[Finding]:
    """`asked` is a method and a path."""
    method, path = asked
    verb = method.lower()
    operation = (route or {}).get(verb) or {}
    at = f"Resources.{api.id}.DefinitionBody.paths.{path}"
    if not operation:
        says = f"{name} answers {method} {path}, and the API has no such route."
        yield missing(at, says, "Add it.")
        return
    security: list[dict[str, list[str]]] = [] if stack.by_keys else [{"AWS_IAM": []}]
    if operation.get("security") != security:
        yield missing(
            f"{at}.{verb}.security",
            f"With Access {'keys' if stack.by_keys else 'iam'} it is {operation.get('security')}.",
            f"Make it {security}.",
        )
    uri = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{alias_arn(name)}"
    wanted = {
        "type": "aws_proxy",
        "httpMethod": "POST",
        "payloadFormatVersion": "2.0",
        "uri": f"{uri}/invocations",
    }
    found = operation.get("x-amazon-apigateway-integration") or {}
    for key, value in wanted.items():
        if found.get(key) != value:
            yield missing(
                f"{at}.{verb}.x-amazon-apigateway-integration.{key}",
                f"It is {found.get(key)}, so calls would not reach the alias of {name}.",
                f"Make it {value}.",
            )
    allowed = stack.one(
        PERMISSION,
        FunctionName=alias_arn(name),
        Action=INVOKE,
        Principal="apigateway.amazonaws.com",
        SourceArn=f"arn:aws:execute-api:{PLACE}:{api.id}/*",
    )
    if allowed is None:
        yield missing(
            "Resources",
            f"No permission lets the API {api.id} call the alias of {name}.",
            f"Add an {PERMISSION} for apigateway.amazonaws.com with the API's own SourceArn.",
        )


def _words(properties: dict[str, Any]) -> str:
    return " and ".join(f"{key} {value}" for key, value in properties.items())
