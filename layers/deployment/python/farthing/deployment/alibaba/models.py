"""What Function Compute 3.0 takes for a function: every key, type and range.

Sources: the 2023-03-30 API as the models of alibabacloud-fc20230330 4.8.3 document it
(2026-11-21), and the fc3 component's schema of 2026-05-28, which ignores unknown keys.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

from farthing.deployment.alibaba.triggers import Qualifier, Trigger  # noqa: TC001 (read by pydantic)

MB_PER_GB = 1024

Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")]
Role = Annotated[str, Field(pattern=r"^acs:ram::\d{16}:role/[\w.-]{1,64}$")]
# https://www.alibabacloud.com/help/en/functioncompute/fc-3-0/developer-reference/api-fc-2023-03-30-struct-destination
Destination = Annotated[
    str,
    Field(
        pattern=r"^acs:(fc:[\w-]+:\d*:functions/[\w/.-]+"
        r"|mns:[\w-]+:\d*:/(queues|topics)/[\w-]+/messages"
        r"|eventbridge:[\w-]+:\d*:eventbus/[\w-]+)$"
    ),
]


class Props(BaseModel):
    """Camel case as in the file; a key that is not listed is refused, a number is no string."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", strict=True, populate_by_name=True
    )


class HealthCheck(Props):
    http_get_url: Annotated[str, Field(pattern=r"^/", max_length=2048)]
    initial_delay_seconds: Annotated[int, Field(ge=0, le=120)] = 0
    period_seconds: Annotated[int, Field(ge=1, le=120)] = 3
    timeout_seconds: Annotated[int, Field(ge=1, le=3)] = 1
    failure_threshold: Annotated[int, Field(ge=1, le=120)] = 3
    success_threshold: Annotated[int, Field(ge=1, le=120)] = 1


class Container(Props):
    image: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65_535)]
    command: list[str] | None = None
    entrypoint: list[str] | None = None
    health_check_config: HealthCheck
    registry_config: dict[str, Any] | None = None


class Hook(Props):
    handler: str | None = None
    command: list[str] | None = None
    timeout: Annotated[int, Field(ge=1, le=300)]

    @model_validator(mode="after")
    def one_entry(self) -> Hook:
        if (self.handler is None) == (self.command is None):
            raise ValueError("a hook has a handler or a command, and not both")
        return self


class Lifecycle(Props):
    initializer: Hook
    pre_stop: Hook


class Log(Props):
    project: Annotated[str, Field(min_length=3, max_length=63)]
    logstore: Annotated[str, Field(min_length=2, max_length=63)]
    enable_instance_metrics: bool = False
    enable_request_metrics: bool = True
    enable_llm_metrics: bool = False
    log_begin_rule: Literal["DefaultRegex", "None"] = "None"


class Sink(Props):
    destination: Destination


class Destinations(Props):
    on_success: Sink | None = None
    on_failure: Sink | None = None


class AsyncInvoke(Props):
    async_task: bool
    max_async_retry_attempts: Annotated[int, Field(ge=0, le=8)]
    max_async_event_age_in_seconds: Annotated[int, Field(ge=1, le=2_592_000)]
    destination_config: Destinations | None = None
    qualifier: Qualifier = "LATEST"


class Concurrency(Props):
    reserved_concurrency: Annotated[int, Field(ge=1)]


class ScalingPolicy(Props):
    name: Name
    metric_type: Literal["CPUUtilization", "ProvisionedConcurrencyUtilization", "GPUMemUtilization"]
    metric_target: float
    min_instances: Annotated[int, Field(ge=0, le=10_000)]
    max_instances: Annotated[int, Field(ge=1, le=10_000)]
    start_time: str | None = None
    end_time: str | None = None
    time_zone: str | None = None

    @field_validator("metric_target")
    @classmethod
    def is_fraction(cls, value: float) -> float:
        if not 0 < value <= 1:
            raise ValueError("a target is a fraction above 0 and at most 1, so 70 % is 0.7")
        return value


class ScheduledPolicy(Props):
    name: Name
    schedule_expression: Annotated[str, Field(pattern=r"^(cron|at)\(.+\)$")]
    target: Annotated[int, Field(ge=0, le=10_000)]
    start_time: str | None = None
    end_time: str | None = None
    time_zone: str | None = None


class Scaling(Props):
    """`qualifier` is the component's own: the alias or LATEST whose floor this is."""

    qualifier: Qualifier = "LATEST"
    min_instances: Annotated[int, Field(ge=0, le=10_000)]
    horizontal_scaling_policies: list[ScalingPolicy] = []
    scheduled_policies: list[ScheduledPolicy] = []
    resident_pool_id: str | None = None


class MountPoint(Props):
    bucket_name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$")]
    bucket_path: Annotated[str, Field(pattern=r"^/")] = "/"
    endpoint: Annotated[str, Field(pattern=r"^https?://oss-[a-z0-9-]+\.aliyuncs\.com$")]
    mount_dir: Annotated[str, Field(pattern=r"^/(home|mnt|data)/\S+$")]
    read_only: bool = False


class Mounts(Props):
    mount_points: Annotated[list[MountPoint], Field(min_length=1, max_length=5)]


class Tag(Props):
    key: Annotated[str, Field(min_length=1, max_length=64)]
    value: Annotated[str, Field(max_length=128)]


class FunctionInput(Props):
    """What the API's CreateFunction takes; `cpu` in vCPU, memory and disk in MB, times in s."""

    function_name: Name
    runtime: str
    description: Annotated[str, Field(max_length=256)] | None = None
    cpu: Annotated[float, Field(ge=0.05, le=16)]
    memory_size: Annotated[int, Field(ge=128, le=32_768, multiple_of=64)]
    disk_size: Literal[512, 10_240]
    timeout: Annotated[int, Field(ge=1, le=86_400)]
    instance_concurrency: Annotated[int, Field(ge=1, le=200)]
    internet_access: bool = True
    role: Role | None = None
    environment_variables: dict[str, str]
    custom_container_config: Container
    instance_lifecycle_config: Lifecycle
    log_config: Literal["auto"] | Log
    oss_mount_config: Mounts | None = None
    vpc_config: Literal["auto"] | dict[str, Any] | None = None
    nas_config: Literal["auto"] | dict[str, Any] | None = None
    tracing_config: dict[str, Any] | None = None
    resource_group_id: str | None = None
    tags: list[Tag]

    @field_validator("cpu")
    @classmethod
    def is_on_a_step(cls, value: float) -> float:
        if abs(value * 20 - round(value * 20)) > 1e-9:
            raise ValueError("vCPU come in steps of 0.05")
        return value

    @model_validator(mode="after")
    def cpu_fits_memory(self) -> Self:
        memory_gb = self.memory_size / MB_PER_GB
        if not self.cpu <= memory_gb <= 4 * self.cpu:
            raise ValueError(
                f"{self.cpu:g} vCPU with {self.memory_size} MB: a vCPU takes from 1,024 to 4,096 MB"
            )
        return self


class FunctionProps(FunctionInput):
    """A resource's properties: the function, and what the component makes around it."""

    region: str
    async_invoke_config: AsyncInvoke
    concurrency_config: Concurrency
    scaling_config: Scaling
    triggers: Annotated[list[Trigger], Field(min_length=1)]
