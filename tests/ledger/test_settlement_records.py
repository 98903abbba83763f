"""Providers' records: read by key, exactly, and never at the price of the lines beside them."""

from __future__ import annotations

import base64
import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.billing.recorders.line import LineRecorder
from farthing.ledger.settlement import fc_records, knative_records, lambda_reports
from farthing.ledger.settlement.events import LogEvent, from_answer, from_file, function_of
from farthing.ledger.settlement.faults import NAMED_MAX, Faults, Malformed
from farthing.ledger.settlement.reading import Reader
from tests.ledger.attempts import START_MS, a_ledger, an_entry

if TYPE_CHECKING:
    from pathlib import Path

ID = "5750e185-4db0-4452-b803-0d4e8a48afac"
REPORT = (
    f"REPORT RequestId: {ID}\tDuration: 395.99 ms\tBilled Duration: 662 ms\t"
    "Memory Size: 512 MB\tMax Memory Used: 301 MB\tInit Duration: 265.72 ms\t"
)
TELEMETRY: dict[str, Any] = {
    "time": "2026-11-22T05:00:00.123Z",
    "type": "platform.report",
    "record": {
        "requestId": ID,
        "status": "success",
        "metrics": {
            "durationMs": 395.99,
            "billedDurationMs": 662,
            "memorySizeMB": 512,
            "maxMemoryUsedMB": 301,
            "initDurationMs": 265.72,
        },
    },
}


def event(message: str, **fields: Any) -> LogEvent:
    return LogEvent(message, "here", "classify", START_MS, **fields)


def reported(message: str) -> Any:
    return lambda_reports.record_of(event(message), "s")


def test_a_report_line_is_read_to_the_nanosecond() -> None:
    record = reported(REPORT)
    assert (record.request_id, record.function, record.at_ms) == (ID, "classify", START_MS)
    assert (record.duration_ns, record.billed_ms, record.init_ns) == (395_990_000, 662, 265_720_000)
    assert (record.memory_mb, record.max_memory_mb, record.status) == (512, 301, "success")
    assert record.restore_ns is None


@pytest.mark.parametrize(
    "line",
    [
        REPORT.replace("\t", " "),
        "\t".join(["REPORT RequestId: " + ID, *reversed(REPORT.strip().split("\t")[1:])]),
        "2026-11-22T05:00:00 2026/11/22/[1]abc " + REPORT,
        REPORT + "\nXRAY TraceId: 1-5f\tSegmentId: 5f\tSampled: true\t",
        json.dumps(TELEMETRY),
        "  " + json.dumps(TELEMETRY, indent=1),
    ],
)
def test_order_spaces_and_form_do_not_matter(line: str) -> None:
    assert reported(line) == reported(REPORT)


def test_snapstart_timeouts_and_managed_instances_have_their_keys() -> None:
    restored = reported(
        f"REPORT RequestId: {ID}\tDuration: 124.26 ms\tBilled Duration: 265 ms\tMemory Size: "
        "512 MB\tMax Memory Used: 190 MB\tRestore Duration: 588.01 ms\t"
        "Billed Restore Duration: 140 ms"
    )
    assert (restored.restore_ns, restored.billed_ms) == (588_010_000, 265)
    killed = reported(REPORT.replace("Init Duration: 265.72 ms", "Status: timeout"))
    assert (killed.status, killed.init_ns) == ("timeout", 0)
    managed = reported(f"REPORT RequestId: {ID}\tDuration: 3.01 ms\tMemory Size: 4096 MB")
    assert managed.billed_ms == 4


def test_floats_of_telemetry_are_not_computed_with_as_such() -> None:
    text = json.dumps(TELEMETRY).replace("395.99", "0.1234564999999999999999")
    assert reported(text).duration_ns == 123_456
    assert reported(json.dumps(TELEMETRY).replace("662", "662.0000001")).billed_ms == 663


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("REPORT RequestId: ", "RequestId is missing"),
        (f"REPORT RequestId: {ID}", "Duration is missing"),
        (REPORT.replace("512", "-512"), "Memory Size is out of range"),
        (REPORT.replace("512", "0"), "Memory Size is 0"),
        (REPORT.replace("395.99", "fast"), "Duration is no number"),
        (REPORT.replace("395.99", "NaN"), "Duration is out of range"),
        (REPORT.replace("662", "1e400"), "Billed Duration is out of range"),
        (REPORT + "Duration: 1 ms", "Duration stands twice"),
        (json.dumps(TELEMETRY)[:-9], "cut off"),
        (json.dumps(TELEMETRY).replace("395.99", "NaN"), "cut off or broken"),
        (json.dumps(TELEMETRY).replace("395.99", "true"), "Duration is no number"),
        (json.dumps(TELEMETRY | {"record": 1}), "without metrics"),
    ],
)
def test_a_malformed_report_says_what_is_wrong(line: str, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        reported(line)


@given(st.text() | st.text().map(lambda text: REPORT[:60] + text) | st.binary().map(repr))
def test_no_line_makes_reading_raise_anything_else(line: str) -> None:
    for parser in (lambda_reports, fc_records, knative_records):
        try:
            parser.record_of(event(line), "s")
        except Malformed:
            continue


@given(st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
    lambda inner: st.dictionaries(
        st.sampled_from(["requestId", "durationMs", "functionName", "metrics", "record", "type",
                         "pod", "ended", "started", "function", "memory_mb", "memoryMB", "time"]),
        inner,
    ),
))  # fmt: skip
def test_no_document_makes_reading_raise_anything_else(document: Any) -> None:
    line = json.dumps(document | {"type": "platform.report"} if isinstance(document, dict) else 0)
    for parser in (lambda_reports, fc_records, knative_records):
        try:
            parser.record_of(event(line), "s")
        except Malformed:
            continue


def test_a_function_compute_request_is_read_whether_text_or_numbers() -> None:
    line = {
        "functionName": "classify", "requestId": "1-6560b7f2", "durationMs": "20.20",
        "memoryMB": "512", "memoryUsageMB": "410", "isColdStart": "true",
        "hasFunctionError": "true", "errorType": "FunctionOOMError", "__time__": "1795323600",
    }  # fmt: skip
    record = fc_records.record_of(event(json.dumps(line)), "s")
    assert record is not None
    assert (record.function, record.billed_ms, record.duration_ns) == ("classify", 21, 20_200_000)
    assert (record.status, record.at_ms) == ("FunctionOOMError", 1_795_323_600_000)
    as_numbers = line | {"durationMs": 20.2, "memoryMB": 512, "__time__": 1795323600}
    assert fc_records.record_of(event(json.dumps(as_numbers)), "s") == record


def test_a_pods_life_is_what_it_held() -> None:
    line = {
        "pod": "classify-00001-abc", "function": "classify", "started": "2026-11-22T05:00:00Z",
        "ended": "2026-11-22T07:07:30.000001+02:00", "memory_mb": 1024,
    }  # fmt: skip
    record = knative_records.record_of(event(json.dumps(line)), "s")
    assert record is not None
    assert record.duration_ns == 450_000_001_000
    assert record.source == "pod/classify-00001-abc/2026-11-22T05:00:00.000000"
    for changed in ({"ended": "2026-11-22T04:00:00Z"}, {"started": "2026-11-22T05:00:00"}):
        with pytest.raises(Malformed):
            knative_records.record_of(event(json.dumps(line | changed)), "s")


@pytest.mark.parametrize(
    ("group", "stream", "function"),
    [
        ("/aws/lambda/classify", "2026/11/22/[$LATEST]ab", "classify"),
        ("shared", "2026/11/22/classify[3]ab", "classify"),
        ("shared", "anything", ""),
    ],
)
def test_a_group_or_a_stream_names_the_function(group: str, stream: str, function: str) -> None:
    assert function_of(group, stream) == function


def log_of(*entries: Any) -> list[str]:
    """The lines that a function writes for the entries."""
    written: list[bytes] = []

    def write(line: bytes) -> int:
        written.append(line)
        return len(line)

    recorder = LineRecorder(write)
    for entry in entries:
        fields = {name: getattr(entry, name) for name in entry.__struct_fields__}
        del fields["writer"], fields["number"]
        recorder.record(**fields)
    return [line.decode().rstrip("\n") for line in written]


def read(ledger: Any, *files: Path, function: str = "") -> Reader:
    reader = Reader(ledger)
    for file in files:
        reader.read(from_file(file, reader.faults, function))
    return reader


def a_log() -> list[str]:
    entry = an_entry(1, request_id=ID)
    return ["START RequestId: " + ID, *log_of(entry), "END RequestId: " + ID, REPORT]


def test_a_text_log_gives_entries_and_records_and_tells_the_function(tmp_path: Path) -> None:
    file = tmp_path / "log.txt"
    file.write_text("\n".join(a_log()))
    ledger = a_ledger()
    for _ in range(3):
        reader = read(ledger, file)
        assert (reader.entries, reader.records, reader.faults.count) == (1, 1, 0)
    (entry,), (record,) = ledger.entries(0, 2**62), ledger.records(0, 2**62)
    assert (record.function, record.request_id) == (entry.function, entry.request_id)
    assert record.at_ms == entry.at_ms


def test_cloudwatchs_answers_subscriptions_and_gzip_say_the_same(tmp_path: Path) -> None:
    events = [
        {"timestamp": START_MS, "message": line, "eventId": str(place), "logStreamName": "s"}
        for place, line in enumerate(a_log())
    ]
    message = {
        "messageType": "DATA_MESSAGE",
        "logGroup": "/aws/lambda/farthing-classify",
        "logStream": "s",
        "logEvents": [{"id": one["eventId"], **one} for one in events],
    }
    data = base64.b64encode(gzip.compress(json.dumps(message).encode())).decode()
    files = {
        "answer.json": json.dumps(
            {"logGroupName": "/aws/lambda/farthing-classify", "events": events}, indent=2
        ).encode(),
        "subscription.jsonl": json.dumps({"awslogs": {"data": data}}).encode() + b"\n",
        "message.json.gz": gzip.compress(json.dumps(message).encode()),
    }
    ledger = a_ledger()
    for name, raw in files.items():
        (tmp_path / name).write_bytes(raw)
        reader = read(ledger, tmp_path / name)
        assert (reader.entries, reader.records, reader.faults.count) == (1, 1, 0), name
    assert len(list(ledger.entries(0, 2**62))) == len(list(ledger.records(0, 2**62))) == 1


def test_broken_lines_are_counted_and_named_and_stop_nothing(tmp_path: Path) -> None:
    file = tmp_path / "log.txt"
    broken = REPORT.replace("512", "-1")
    file.write_text("\n".join([broken, *a_log(), '{"awslogs": {"data": "?"}}', '{"events": [1']))
    reader = read(a_ledger(), file)
    assert (reader.entries, reader.records, reader.faults.count) == (1, 1, 3)
    assert [fault.place for fault in reader.faults.named] == [
        "log.txt:1", "log.txt:7", "log.txt:8",
    ]  # fmt: skip
    assert "out of range" in reader.faults.named[0].reason


def test_a_gzip_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    file = tmp_path / "log.gz"
    noise = "\n".join(f"line {number} {number * 2654435761 % 2**32}" for number in range(20_000))
    whole = gzip.compress(("\n".join(a_log()) + "\n" + noise).encode())
    file.write_bytes(whole[: len(whole) // 2])
    reader = read(a_ledger(), file)
    assert (reader.entries, reader.records) == (1, 1)
    assert reader.faults.named[-1].reason == "the file ends before its compression does"


def test_a_record_of_an_unknown_function_is_named_unless_the_log_is_one_functions(
    tmp_path: Path,
) -> None:
    lonely = REPORT.replace(ID, "killed")
    file = tmp_path / "log.txt"
    file.write_text(lonely)
    assert read(a_ledger(), file).faults.named[0].reason.endswith("a record of")
    assert read(a_ledger(), file, function="classify").records == 1
    file.write_text("\n".join([lonely, *a_log()]))
    reader = read(a_ledger(), file)
    assert (reader.records, reader.faults.count) == (2, 0)


def test_two_attempts_that_end_alike_are_two_records(tmp_path: Path) -> None:
    file = tmp_path / "log.txt"
    file.write_text("\n".join([REPORT, REPORT]))
    ledger = a_ledger()
    for _ in range(2):
        read(ledger, file, function="classify")
    assert len(list(ledger.records(0, 2**62))) == 2


def test_events_without_what_an_event_has_are_read_as_they_are() -> None:
    (found,) = from_answer("group", [{}])
    assert (found.message, found.at_ms, found.id) == ("", None, "")


def test_only_the_first_faults_are_named() -> None:
    faults = Faults()
    for place in range(NAMED_MAX + 5):
        faults.add(str(place), "why")
    assert (faults.count, len(faults.named)) == (NAMED_MAX + 5, NAMED_MAX)
