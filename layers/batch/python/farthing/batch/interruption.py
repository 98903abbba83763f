"""When to stop: a signal, or the notice that a spot machine is about to be taken away.

| who says so | how | how long before |
| --- | --- | --- |
| the system | SIGTERM, SIGINT | Kubernetes: `terminationGracePeriodSeconds` |
| EC2 | `spot/instance-action` of the metadata service | 2 minutes |
| ECS and ECI | `instance/spot/termination-time` of theirs | some minutes |

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html and
https://www.alibabacloud.com/help/en/ecs/use-cases/best-practices-for-preemptible-instances
"""

from __future__ import annotations

import os
import re
import signal
import threading
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec

from farthing.batch.errors import JobInvalid
from farthing.errors import FileMissing, PublishConflict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import FrameType

    from farthing.storage import Storage

INTERRUPTIONS_FILE: Final = "_farthing/interruptions.json"
INTERRUPTIONS_MAX: Final = 3
REASONS_KEPT_MAX: Final = 20
POLL_S: Final = 5.0
# The metadata services answer from the same host: whoever takes longer is not there.
ANSWER_S_MAX: Final = 1.0
TOKEN_S: Final = 21_600
TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT[\d:]+Z")
EC2_VARIABLE: Final = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
EC2_URL: Final = "http://169.254.169.254"
EC2_PATH: Final = "/latest/meta-data/spot/instance-action"
EC2_HEADER: Final = "X-aws-ec2-metadata-token"
ECI_VARIABLE: Final = "ALIBABA_CLOUD_METADATA_ENDPOINT"
ECI_URL: Final = "http://100.100.100.200"
ECI_PATH: Final = "/latest/meta-data/instance/spot/termination-time"
ECI_HEADER: Final = "X-aliyun-ecs-metadata-token"

Placement = Literal["spot", "on-demand"]


class Stop:
    """Whether to stop, and why; set once, by any thread or a signal's handler.

    `by_hand`: a person stopped it, and no machine is taken away.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self.reason = ""
        self.by_hand = False

    def set(self, reason: str, *, by_hand: bool = False) -> None:
        """Asks for the stop; the first reason stays."""
        if not self.reason:
            self.reason, self.by_hand = reason, by_hand
        self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Whether the stop was asked for, after so many seconds at most."""
        return self._event.wait(timeout_s)


@contextmanager
def signals(stop: Stop) -> Iterator[None]:
    """While it lasts, SIGTERM and SIGINT set `stop`; a second one of a kind acts as it always does.

    For a process's main thread only.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def heard(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, before[signal.Signals(number)])
        stop.set(f"{signal.Signals(number).name} came", by_hand=number == signal.SIGINT)

    for number in before:
        signal.signal(number, heard)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def spot_notices(
    stop: Stop, environ: Mapping[str, str] = os.environ, poll_s: float = POLL_S
) -> Iterator[None]:
    """While it lasts, a daemon thread asks the metadata services whether the machine will go.

    Their addresses can be set in `AWS_EC2_METADATA_SERVICE_ENDPOINT`, as AWS's own clients have
    it, and `ALIBABA_CLOUD_METADATA_ENDPOINT`. A machine without them is never told to stop.
    """
    services = (
        _Metadata("EC2", environ.get(EC2_VARIABLE) or EC2_URL, EC2_PATH, EC2_HEADER),
        _Metadata("Alibaba", environ.get(ECI_VARIABLE) or ECI_URL, ECI_PATH, ECI_HEADER),
    )
    ended = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            for service in services:
                if notice := service.notice():
                    stop.set(notice)
            if ended.wait(poll_s):
                return

    thread = threading.Thread(target=watch, name="farthing-spot", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()


class _Metadata:
    """A cloud's metadata service, which tells a spot machine when it will go.

    Questions carry a token, as EC2 always and Alibaba's hardened machines want it; a service that
    has no tokens is asked without.
    """

    def __init__(self, cloud: str, url: str, path: str, token_header: str) -> None:
        self._cloud = cloud
        self._url = url
        self._path = path
        self._header = token_header
        self._token = ""

    def notice(self) -> str:
        """What will happen, in a sentence; "" while nothing is known."""
        if not self._token and not self._renew():
            return ""
        status, body = self._ask()
        if status in {401, 403} and self._renew():
            status, body = self._ask()
        if status != 200:
            return ""
        when = TIME.search(body)
        return f"{self._cloud} takes this spot machine back at {when[0] if when else 'once'}"

    def _renew(self) -> bool:
        """Takes a new token, where there are tokens; whether anybody answered at all."""
        ttl = {f"{self._header}-ttl-seconds": str(TOKEN_S)}
        status, token = _ask(self._url, "PUT", "/latest/api/token", ttl)
        self._token = token.strip() if status == 200 else ""
        return status != 0

    def _ask(self) -> tuple[int, str]:
        headers = {self._header: self._token} if self._token else {}
        return _ask(self._url, "GET", self._path, headers)


def _ask(url: str, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
    """The status and body of an answer; 0 and "" where none came. No proxy is ever asked."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port or 80, timeout=ANSWER_S_MAX)
    try:
        connection.request(method, parts.path.rstrip("/") + path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(4096).decode("utf-8", "replace")
    except (OSError, HTTPException):
        return 0, ""
    finally:
        connection.close()


class Interruptions(msgspec.Struct, frozen=True):
    """How often a job was told to stop, and the last reasons."""

    count: Annotated[int, msgspec.Meta(ge=0)] = 0
    reasons: tuple[str, ...] = ()


def interruptions(storage: Storage) -> Interruptions:
    """What a job's storage tells of its interruptions. Raises `JobInvalid` for what is broken."""
    try:
        return msgspec.json.decode(storage.read(INTERRUPTIONS_FILE), type=Interruptions)
    except FileMissing:
        return Interruptions()
    except msgspec.MsgspecError as error:
        raise JobInvalid(
            f"{storage.url}/{INTERRUPTIONS_FILE} does not tell of interruptions: {error}. Remove "
            "it; they are counted from 0 again."
        ) from None


def count_interruption(storage: Storage, reason: str) -> int:
    """Counts one more, also where several machines are taken away at once; gives the new count."""
    while True:
        etag = storage.etag(INTERRUPTIONS_FILE)
        known = interruptions(storage)
        reasons = (*known.reasons, reason)[-REASONS_KEPT_MAX:]
        now = Interruptions(known.count + 1, reasons)
        try:
            storage.write(INTERRUPTIONS_FILE, msgspec.json.encode(now), expect=etag)
        except PublishConflict:
            continue
        return now.count


def placement(storage: Storage, limit: int = INTERRUPTIONS_MAX) -> Placement:
    """Where the rest of a job is to run: after `limit` interruptions where nobody takes it away."""
    return "on-demand" if interruptions(storage).count >= limit else "spot"
