"""What Function Compute 3.0 takes for a trigger: the keys and shapes of each kind.

Sources: the trigger structures of alibabacloud-fc20230330 4.8.3 (2026-11-21) and the fc3
component's docs/zh/yaml/triggers.md (github.com/devsapp/fc3, 2026-05-28).
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

ROLE = r"^acs:ram::\d{16}:role/[\w.-]{1,64}$"

Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,127}$")]
# A version's number would pin a trigger; what changes goes behind LATEST or an alias.
Qualifier = Annotated[str, Field(pattern=r"^(LATEST|[A-Za-z_][\w-]{0,127})$")]
Method = Literal["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]
SourceType = Literal["Default", "MNS", "RocketMQ", "RabbitMQ", "Kafka", "MQTT", "DTS"]

OssEvent = Literal[
    "oss:ObjectCreated:*",
    "oss:ObjectCreated:AppendObject",
    "oss:ObjectCreated:CompleteMultipartUpload",
    "oss:ObjectCreated:CopyObject",
    "oss:ObjectCreated:PostObject",
    "oss:ObjectCreated:PutObject",
    "oss:ObjectCreated:PutSymlink",
    "oss:ObjectModified:UpdateObjectMeta",
    "oss:ObjectRemoved:DeleteObject",
    "oss:ObjectRemoved:DeleteObjects",
]

EVERY = re.compile(r"^@every (\d+)([smh])$")
CRON_FIELD = re.compile(r"^[\d*/,?LW#A-Z-]+$")
SECONDS = {"s": 1, "m": 60, "h": 3600}
TIMER_PAYLOAD_MAX_BYTES = 128 * 1024


class Part(BaseModel):
    """Camel case as in the file; a key that is not listed is refused."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", strict=True, populate_by_name=True
    )


class HttpConfig(Part):
    auth_type: Literal["anonymous", "function", "jwt"]
    methods: Annotated[list[Method], Field(min_length=1)]
    disable_url_internet: Annotated[bool, Field(alias="disableURLInternet")] = False
    auth_config: dict[str, Any] | None = None


class TimerConfig(Part):
    cron_expression: str
    enable: bool
    payload: str = ""

    @field_validator("cron_expression")
    @classmethod
    def has_a_schedule(cls, value: str) -> str:
        """Six fields, seconds first, with an optional CRON_TZ; or `@every`, a minute at least."""
        every = EVERY.match(value)
        if every:
            if int(every[1]) * SECONDS[every[2]] < 60:
                raise ValueError("a timer fires once a minute at most")
            return value
        fields = re.sub(r"^CRON_TZ=\S+ ", "", value).split()
        if len(fields) != 6 or not all(CRON_FIELD.match(it) for it in fields):
            raise ValueError("a schedule has six fields, seconds first, or reads @every 4m")
        return value

    @field_validator("payload")
    @classmethod
    def is_a_request(cls, value: str) -> str:
        if len(value.encode()) > TIMER_PAYLOAD_MAX_BYTES:
            raise ValueError("a payload has 128 KB at most")
        return value


class OssKey(Part):
    prefix: str
    suffix: str


class OssFilter(Part):
    key: OssKey


class OssConfig(Part):
    events: Annotated[list[OssEvent], Field(min_length=1)]
    filter: OssFilter


class EventSource(Part):
    event_source_type: SourceType
    event_source_parameters: dict[str, dict[str, Any]] = {}

    @model_validator(mode="after")
    def names_its_source(self) -> EventSource:
        wanted = (
            set()
            if self.event_source_type == "Default"
            else {f"source{self.event_source_type}Parameters"}
        )
        if set(self.event_source_parameters) != wanted:
            raise ValueError(
                f"a source of type {self.event_source_type} is described by "
                f"{', '.join(wanted) or 'no parameters'}"
            )
        queue = self.event_source_parameters.get("sourceMNSParameters")
        if queue is not None and (
            not set(queue) <= {"QueueName", "IsBase64Decode"}
            or not isinstance(queue.get("QueueName"), str)
            or not isinstance(queue.get("IsBase64Decode", True), bool)
        ):
            raise ValueError("an MNS source has a QueueName and may have IsBase64Decode")
        return self


class EventBridgeConfig(Part):
    trigger_enable: bool
    async_invocation_type: bool
    event_rule_filter_pattern: str
    event_source_config: EventSource
    event_sink_config: dict[str, Any] | None = None
    run_options: dict[str, Any] | None = None

    @field_validator("event_rule_filter_pattern")
    @classmethod
    def is_a_pattern(cls, value: str) -> str:
        try:
            pattern = json.loads(value)
        except ValueError:
            pattern = None
        if not isinstance(pattern, dict):
            raise ValueError("a pattern is a JSON object, in a string")
        return value


class _Trigger(Part):
    trigger_name: Name
    qualifier: Qualifier
    description: str | None = None


class HttpTrigger(_Trigger):
    trigger_type: Literal["http"]
    trigger_config: HttpConfig


class TimerTrigger(_Trigger):
    trigger_type: Literal["timer"]
    trigger_config: TimerConfig


class OssTrigger(_Trigger):
    trigger_type: Literal["oss"]
    invocation_role: Annotated[str, Field(pattern=ROLE)]
    source_arn: Annotated[str, Field(pattern=r"^acs:oss:[a-z0-9-]+:\d{16}:[a-z0-9-]{3,63}$")]
    trigger_config: OssConfig


class EventBridgeTrigger(_Trigger):
    trigger_type: Literal["eventbridge"]
    source_arn: str | None = None
    trigger_config: EventBridgeConfig


class TopicConfig(Part):
    notify_content_format: Literal["STREAM", "JSON"]
    notify_strategy: Literal["BACKOFF_RETRY", "EXPONENTIAL_DECAY_RETRY"]
    filter_tag: Annotated[str, Field(max_length=16)] | None = None


class TopicTrigger(_Trigger):
    trigger_type: Literal["mns_topic"]
    invocation_role: Annotated[str, Field(pattern=ROLE)]
    source_arn: Annotated[str, Field(pattern=r"^acs:mns:[a-z0-9-]+:\d{16}:/topics/[\w-]+$")]
    trigger_config: TopicConfig


class OtherTrigger(_Trigger):
    """Kinds that nothing of ours uses; their configuration is not looked into."""

    trigger_type: Literal["log", "cdn_events", "tablestore"]
    invocation_role: Annotated[str, Field(pattern=ROLE)] | None = None
    source_arn: str | None = None
    trigger_config: dict[str, Any]


Trigger = Annotated[
    HttpTrigger | TimerTrigger | OssTrigger | EventBridgeTrigger | TopicTrigger | OtherTrigger,
    Field(discriminator="trigger_type"),
]
