"""Alibaba's own client sends what the shipped files say, and a stand-in takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from alibabacloud_fc20230330 import models as api

from farthing.deployment.alibaba.stack import FOLDER, read_stack
from tests.deployment.alibaba.conftest import FILES
from tests.deployment.alibaba.service import Service, function_input, requests_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.project import Project
    from tests.deployment.alibaba.conftest import Props

NAME = "farthing-classify"


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.close()


def deploy(service: Service, props: dict[str, Any]) -> None:
    client = service.client()
    for request in requests_of(props):
        request(client)


def refusal(service: Service, props: dict[str, Any]) -> str:
    with pytest.raises(Exception) as refused:
        deploy(service, props)
    return f"{getattr(refused.value, 'code', '')}: {refused.value}"


def set_at(props: dict[str, Any], at: str, value: object) -> None:
    *parents, last = at.split(".")
    content: Any = props
    for key in parents:
        content = content[int(key)] if isinstance(content, list) else content[key]
    content[last] = value


@pytest.mark.parametrize("file", FILES)
def test_every_function_is_deployed_request_by_request(
    service: Service, props: Props, project: Project, file: str
) -> None:
    stack = read_stack(project, f"{FOLDER}/{file}").resources
    assert {name for name, it in project.on("alibaba").items() if it.serves} <= stack.keys()
    for name in stack:
        deploy(service, props(file, name))
        stated, made = props(file, name), service.functions[f"farthing-{name}"]
        assert made["function"] == function_input(stated)
        assert list(made["triggers"]) == [it["triggerName"] for it in stated["triggers"]]
        assert made["scaling"]["minInstances"] == (1 if file == "s.warm.yaml" else 0)
    paths = [line.split("?")[0].replace(NAME, "NAME") for line in service.log]
    assert paths[:4] == [
        "POST /2023-03-30/functions",
        "PUT /2023-03-30/functions/NAME/concurrency",
        "PUT /2023-03-30/functions/NAME/scaling-config",
        "PUT /2023-03-30/functions/NAME/async-invoke-config",
    ]
    assert set(paths[4 : 4 + len(props(file)["triggers"])]) == {
        "POST /2023-03-30/functions/NAME/triggers"
    }


def test_the_warm_profile_sends_a_floor_and_a_fraction(service: Service, props: Props) -> None:
    deploy(service, props("s.warm.yaml"))
    policy = service.functions[NAME]["scaling"]["horizontalScalingPolicies"][0]
    assert (policy["metricType"], policy["metricTarget"]) == ("CPUUtilization", 0.7)
    assert policy["minInstances"] == 1
    assert f"PUT /2023-03-30/functions/{NAME}/scaling-config?qualifier=LATEST" in service.log


@pytest.mark.parametrize("file", FILES)
def test_the_clients_models_lose_no_key_of_the_files(props: Props, file: str) -> None:
    """They drop what they do not know in silence; the way back shows it."""
    stated = props(file)
    function = function_input(stated)
    assert _without_empty(api.CreateFunctionInput().from_map(function).to_map()) == function
    scaling = {key: it for key, it in stated["scalingConfig"].items() if key != "qualifier"}
    assert _without_empty(api.PutScalingConfigInput().from_map(scaling).to_map()) == scaling
    invoke = {key: it for key, it in stated["asyncInvokeConfig"].items() if key != "qualifier"}
    assert api.PutAsyncInvokeConfigInput().from_map(invoke).to_map() == invoke


def test_the_way_back_would_show_a_misspelt_key(props: Props) -> None:
    function = function_input(props()) | {"memorySzie": 512}
    assert _without_empty(api.CreateFunctionInput().from_map(function).to_map()) != function


@pytest.mark.parametrize(
    ("at", "value", "says"),
    [
        ("memorySize", 1000, "multiple of 64"),
        ("cpu", 0.33, "steps of 0.05"),
        ("cpu", 4, "a vCPU takes from 1,024 to 4,096 MB"),
        ("diskSize", 1024, "512 or 10240"),
        ("timeout", 86_401, "less than or equal to 86400"),
        ("instanceConcurrency", 201, "less than or equal to 200"),
        ("customContainerConfig.healthCheckConfig.timeoutSeconds", 4, "less than or equal to 3"),
        ("instanceLifecycleConfig.preStop.command", ["stop"], "a handler or a command"),
        ("concurrencyConfig.reservedConcurrency", 0, "greater than or equal to 1"),
        ("asyncInvokeConfig.maxAsyncRetryAttempts", 9, "less than or equal to 8"),
        ("triggers.0.triggerConfig.authType", "none", "'anonymous', 'function' or 'jwt'"),
        ("triggers.0.qualifier", "live", "AliasNotFound"),
        ("scalingConfig.qualifier", "1", "only an alias or LATEST"),
    ],
)
def test_what_the_service_would_refuse_is_refused(
    service: Service, props: Props, at: str, value: object, says: str
) -> None:
    changed = props()
    set_at(changed, at, value)
    assert says in refusal(service, changed)


def test_a_percentage_is_no_fraction(service: Service, props: Props) -> None:
    changed = props("s.warm.yaml")
    set_at(changed, "scalingConfig.horizontalScalingPolicies.0.metricTarget", 70)
    assert "70 % is 0.7" in refusal(service, changed)


def test_a_function_is_created_once(service: Service, props: Props) -> None:
    deploy(service, props())
    assert "FunctionAlreadyExists" in refusal(service, props())


def test_an_alias_shares_the_calls_between_two_versions(service: Service, props: Props) -> None:
    client = service.client()
    deploy(service, props())
    for _ in range(2):
        body = api.PublishVersionInput(description="a release")
        client.publish_function_version(NAME, api.PublishFunctionVersionRequest(body=body))
    canary = api.CreateAliasInput(
        alias_name="live", version_id="1", additional_version_weight={"2": 0.1}
    )
    client.create_alias(NAME, api.CreateAliasRequest(body=canary))
    assert service.functions[NAME]["aliases"]["live"]["additionalVersionWeight"] == {"2": 0.1}
    too_much = api.CreateAliasInput(
        alias_name="live", version_id="1", additional_version_weight={"2": 10}
    )
    with pytest.raises(Exception, match="a fraction from 0 to 1"):
        client.create_alias(NAME, api.CreateAliasRequest(body=too_much))
    unknown = api.CreateAliasInput(alias_name="live", version_id="7")
    with pytest.raises(Exception, match="version 7 does not exist"):
        client.create_alias(NAME, api.CreateAliasRequest(body=unknown))


def test_a_request_that_is_not_signed_is_refused(service: Service, props: Props) -> None:
    port = service._server.server_port
    answer = httpx.post(
        f"http://127.0.0.1:{port}/2023-03-30/functions",
        json=function_input(props()),
        headers={"x-acs-version": "2023-03-30"},
        trust_env=False,
    )
    assert (answer.status_code, answer.json()["Code"]) == (403, "SignatureNotMatch")
    assert service.functions == {}


def _without_empty(content: Any) -> Any:
    """The models write every list that was not given as an empty one."""
    if isinstance(content, dict):
        return {key: _without_empty(it) for key, it in content.items() if it not in ([], None)}
    return [_without_empty(it) for it in content] if isinstance(content, list) else content
