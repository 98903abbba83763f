"""A batch's answers are those of single calls, each request's once, billed once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from farthing.batch.errors import Interrupted, JobUnfinished
from farthing.batch.openai import computing, survey
from farthing.batch.openai.results import kept
from farthing.billing.tenants import Budget, Tenant
from farthing.serving.batches.store import BatchStore
from farthing.serving.envelope import Envelope, deadline_after
from tests.batch.jobs import titles
from tests.batch.openai_shop import CLASSIFY, EMBED, Shop, line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from farthing.serving.batches.objects import Batch

TITLES = titles()[:60]
# Billed quantities in whole numbers: 1,024 MB and the rates of Lambda in us-east-1, at half price.
USD_PER_REQUEST = Fraction(2, 10**7)
USD_PER_GB_S = Fraction(166667, 10**10)
OVERHEAD_NS = 700_000


@pytest.fixture
def shop(tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setattr(survey, "SHARD_TEXTS_MAX", 8)
    one = Shop(tmp_path, models_dir)
    yield one
    one.stop()


def embeddings(count: int = 20) -> list[dict[str, Any]]:
    return [line(f"r{i}", {"input": TITLES[i]}) for i in range(count)]


def without_price(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in {"usage", "charge"}}


def stop_after(shards: int) -> Callable[[], bool]:
    """Says stop when it is asked before a shard after so many."""
    asked = iter(range(shards))
    return lambda: next(asked, None) is None


def cents(charge: dict[str, Any]) -> Fraction:
    return Fraction(charge["total"])


def test_answers_are_the_very_ones_of_single_calls_in_the_order_of_the_file(shop: Shop) -> None:
    bodies: list[dict[str, Any]] = [{"input": title} for title in TITLES[:20]]
    bodies += [
        {"input": TITLES[:5], "dimensions": 16},
        {"input": TITLES[3], "encoding_format": "base64"},
        {"input": ["x", *TITLES[6:9]], "model": None},
    ]
    batch_id = shop.begin([line(f"r{i}", body) for i, body in enumerate(bodies)])
    assert shop.runner.run_pending() == 1
    told = shop.batch(batch_id)
    assert (told["status"], told["error_file_id"], told["errors"]) == ("completed", None, None)
    assert told["request_counts"] == {"total": 23, "completed": 23, "failed": 0}
    answers = shop.answers(batch_id)
    assert [one["custom_id"] for one in answers] == [f"r{i}" for i in range(23)]
    assert len({one["id"] for one in answers}) == 23
    for body, one in zip(bodies, answers, strict=True):
        single = shop.client.post(EMBED, json=body).json()
        assert one["error"] is None
        assert one["response"]["status_code"] == 200
        assert without_price(one["response"]["body"]) == without_price(single)
        usage = one["response"]["body"]["usage"]
        assert usage["prompt_tokens"] == single["usage"]["prompt_tokens"]


def test_texts_are_classified_as_by_single_calls(shop: Shop) -> None:
    bodies = [{"inputs": TITLES[i], "top_k": 1 + i % 3} for i in range(20)]
    lines = [line(f"r{i}", body, CLASSIFY) for i, body in enumerate(bodies)]
    batch_id = shop.begin(lines, CLASSIFY)
    shop.runner.run_pending()
    assert shop.batch(batch_id)["model"] == "product-classifier"
    for body, one in zip(bodies, shop.answers(batch_id), strict=True):
        single = shop.client.post(CLASSIFY, json=body).json()
        assert without_price(one["response"]["body"]) == without_price(single)


def test_charges_add_up_from_requests_to_shards_to_the_batch_and_to_the_ledger(shop: Shop) -> None:
    batch_id = shop.begin(embeddings())
    shop.runner.run_pending()
    told, answers = shop.batch(batch_id), shop.answers(batch_id)
    entries = [one for one in shop.entries() if one["tenant"] != "house"]
    assert [(one["writer"], one["number"]) for one in entries] == [
        (batch_id, number) for number in (1, 2, 3)
    ]
    by_shard: dict[str, Fraction] = {}
    tokens: dict[str, int] = {}
    for one in answers:
        shard = one["response"]["request_id"]
        body = one["response"]["body"]
        by_shard[shard] = by_shard.get(shard, Fraction(0)) + cents(body["charge"])
        tokens[shard] = tokens.get(shard, 0) + body["usage"]["prompt_tokens"]
    expected = {}
    for entry in entries:
        billed_ms = -(-(entry["usage"]["busy_ns"] + OVERHEAD_NS) // 1_000_000)
        full = USD_PER_REQUEST + USD_PER_GB_S * Fraction(billed_ms, 1000)
        expected[entry["request_id"]] = full / 2
        assert tokens[entry["request_id"]] == entry["usage"]["prompt_tokens"]
        assert entry["plan"].startswith("at-cost.low@")
    assert by_shard == expected
    assert cents(told["charge"]) == sum(expected.values())
    assert told["usage"]["total_tokens"] == sum(tokens.values())


def test_a_request_that_is_refused_stands_in_the_error_file_and_costs_nothing(shop: Shop) -> None:
    lines = embeddings(6)
    wrong = {
        "r1": ({"input": "  "}, 422),
        "r3": ({"input": "x", "stream": True}, 422),
        "r4": ({"input": "x", "dimensions": 9999}, 422),
        "r5": ({"input": "x" * 100_001}, 413),
    }
    for custom_id, (body, _) in wrong.items():
        lines[int(custom_id[1:])]["body"] = body
    batch_id = shop.begin(lines)
    shop.runner.run_pending()
    told = shop.batch(batch_id)
    assert told["status"] == "completed"
    assert told["request_counts"] == {"total": 6, "completed": 2, "failed": 4}
    assert [one["custom_id"] for one in shop.answers(batch_id)] == ["r0", "r2"]
    errors = shop.errors(batch_id)
    assert [(one["custom_id"], one["response"]["status_code"]) for one in errors] == [
        (custom_id, status) for custom_id, (_, status) in wrong.items()
    ]
    for one in errors:
        body = one["response"]["body"]
        single = shop.client.post(EMBED, json=wrong[one["custom_id"]][0]).json()
        assert (body["detail"], body["error"]) == (single["detail"], single["error"])
        assert body["charge"]["total"] == "0"


def test_a_webhook_in_a_line_is_refused(shop: Shop) -> None:
    hook = {"input": "x", "priority": "low", "webhook": "https://example.com/"}
    batch_id = shop.begin([line("a", hook), line("b", {"input": "x", "priority": "low"})])
    shop.runner.run_pending()
    assert [one["custom_id"] for one in shop.errors(batch_id)] == ["a"]
    assert [one["custom_id"] for one in shop.answers(batch_id)] == ["b"]


def test_requests_that_are_all_refused_cost_the_house_and_no_tenant(shop: Shop) -> None:
    batch_id = shop.begin([line(f"r{i}", {"input": " "}) for i in range(3)])
    shop.runner.run_pending()
    told = shop.batch(batch_id)
    assert (told["status"], told["output_file_id"]) == ("completed", None)
    assert cents(told["charge"]) == 0
    assert len(shop.errors(batch_id)) == 3
    assert shop.sold_keys() == []


def test_an_unknown_model_is_told_line_by_line(shop: Shop) -> None:
    batch_id = shop.begin([line(f"r{i}", {"input": "x", "model": "gpt"}) for i in range(3)])
    shop.runner.run_pending()
    errors = shop.errors(batch_id)
    assert [one["response"]["status_code"] for one in errors] == [404] * 3
    assert "all-minilm-l6-v2" in errors[0]["response"]["body"]["detail"]


def test_a_file_with_wrong_lines_fails_the_batch_and_nothing_is_computed(shop: Shop) -> None:
    lines = [line("a", {"input": "x"}), line("a", {"input": "x"}), line("b", {}, CLASSIFY), 7]
    batch_id = shop.begin(lines)
    assert shop.runner.run_pending() == 1
    told = shop.batch(batch_id)
    assert told["status"] == "failed"
    assert [(one["code"], one["line"]) for one in told["errors"]["data"]] == [
        ("duplicate_custom_id", 2),
        ("url_mismatch", 3),
        ("invalid_json_line", 4),
    ]
    assert (told["output_file_id"], told["error_file_id"]) == (None, None)
    assert shop.entries() == []


def test_a_file_that_is_deleted_before_it_is_read_fails_the_batch(shop: Shop) -> None:
    batch_id = shop.begin(embeddings(2))
    file_id = shop.batch(batch_id)["input_file_id"]
    assert shop.client.delete(f"/v1/files/{file_id}").json()["deleted"] is True
    shop.runner.run_pending()
    assert shop.batch(batch_id)["errors"]["data"][0]["code"] == "file_not_found"


def test_a_settled_batch_leaves_no_work_and_is_not_computed_again(shop: Shop) -> None:
    batch_id = shop.begin(embeddings(4))
    assert shop.runner.run(batch_id) is not None
    assert shop.runner.run(batch_id) is None
    left = [name for name in shop.storage.names() if "/of/" not in name and "files/" not in name]
    assert left == []


def test_a_stopped_batch_is_taken_up_where_it_was_and_billed_once(shop: Shop) -> None:
    whole = shop.begin(embeddings())
    shop.runner.run(whole)
    batch_id = shop.begin(embeddings())
    with pytest.raises(Interrupted):
        shop.runner.run(batch_id, stop=stop_after(1))
    told = shop.batch(batch_id)
    assert told["status"] == "in_progress"
    assert told["request_counts"] == {"total": 20, "completed": 8, "failed": 0}
    done = shop.storage.read(f"batches/work/{batch_id}/done/00000.jsonl")
    again = shop.runner.run(batch_id)
    assert again is not None and again.status == "completed"
    answers = shop.answers(batch_id)
    assert [one["response"]["body"]["data"] for one in answers] == [
        one["response"]["body"]["data"] for one in shop.answers(whole)
    ]
    # The first shard is not computed a second time: its answers tell the same price.
    assert msgspec.json.encode(answers[0]) in done
    keys = shop.sold_keys()
    assert len(keys) == len(set(keys)) == 6


def test_an_entry_that_was_lost_after_its_shard_was_kept_is_booked_when_it_is_taken_up(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = shop.begin(embeddings())

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("farthing.batch.openai.progress.book", killed)
        shop.runner.run(batch_id)
    assert kept(shop.storage, batch_id) == {0}
    shop.runner.run(batch_id)
    assert shop.sold_keys() == [(batch_id, 1), (batch_id, 2), (batch_id, 3)]


def test_workers_beside_each_other_come_to_one_output_and_the_house_pays_for_the_rest(
    shop: Shop, tmp_path: Path, models_dir: Path
) -> None:
    batch_id = shop.begin(embeddings(60))
    others = [Shop(tmp_path, models_dir, spool=str(tmp_path / f"spool{i}")) for i in range(2)]
    runners = [shop.runner, *(other.runner for other in others)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda runner: runner.run(batch_id), runners))
    answers = shop.answers(batch_id)
    assert [one["custom_id"] for one in answers] == [f"r{i}" for i in range(60)]
    told = shop.batch(batch_id)
    for other in others:
        other.stop()
    assert shop.sold_keys() == [(batch_id, number) for number in range(1, 9)]
    sold = sum(cents(one["response"]["body"]["charge"]) for one in answers)
    assert sold == cents(told["charge"])
    assert [name for name in shop.storage.names() if "/in/" in name] == []


def test_a_cancelled_batch_keeps_what_was_computed_and_names_what_was_not(shop: Shop) -> None:
    batch_id = shop.begin(embeddings())
    with pytest.raises(Interrupted):
        shop.runner.run(batch_id, stop=stop_after(1))
    answer = shop.client.post(f"/v1/batches/{batch_id}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelling")
    shop.runner.run_pending()
    told = shop.batch(batch_id)
    assert told["status"] == "cancelled"
    assert told["cancelled_at"] >= told["cancelling_at"] >= told["created_at"]
    assert told["request_counts"] == {"total": 20, "completed": 8, "failed": 12}
    assert [one["custom_id"] for one in shop.answers(batch_id)] == [f"r{i}" for i in range(8)]
    errors = shop.errors(batch_id)
    assert [one["custom_id"] for one in errors] == [f"r{i}" for i in range(8, 20)]
    assert {(one["response"], one["error"]["code"]) for one in errors} == {
        (None, "batch_cancelled")
    }
    assert shop.client.post(f"/v1/batches/{batch_id}/cancel").status_code == 409
    assert shop.sold_keys() == [(batch_id, 1)]


def test_a_batch_that_is_cancelled_before_it_begins_is_not_computed(shop: Shop) -> None:
    batch_id = shop.begin(embeddings())
    shop.client.post(f"/v1/batches/{batch_id}/cancel")
    shop.runner.run_pending()
    told = shop.batch(batch_id)
    assert (told["status"], told["output_file_id"]) == ("cancelled", None)
    assert told["request_counts"] == {"total": 20, "completed": 0, "failed": 20}
    assert shop.entries() == []


def test_a_batch_whose_day_is_over_expires(shop: Shop) -> None:
    batch_id = shop.begin(embeddings())
    store = BatchStore(shop.storage)

    def late(batch: Batch) -> Batch:
        return msgspec.structs.replace(batch, expires_at=1)

    store.change("local", batch_id, late)
    shop.runner.run_pending()
    told = shop.batch(batch_id)
    assert told["status"] == "expired"
    assert {one["error"]["code"] for one in shop.errors(batch_id)} == {"batch_expired"}


def test_too_little_time_leaves_the_batch_for_another_attempt(shop: Shop) -> None:
    batch_id = shop.begin(embeddings())
    hurried = Envelope("platform-1", deadline_after(1), "anyone")
    with pytest.raises(JobUnfinished, match="503"):
        shop.runner.run(batch_id, envelope=hurried)
    unhurried = Envelope("platform-2", deadline_after(60_000), "anyone")
    done = shop.runner.run(batch_id, envelope=unhurried)
    assert done is not None and done.request_counts.completed == 20
    entries = shop.entries()
    assert {(one["tenant"], one["request_id"]) for one in entries} == {
        ("house", "platform-1"),
        ("local", "platform-2"),
    }


def test_a_spent_budget_refuses_the_requests_as_it_does_single_calls(
    tmp_path: Path, models_dir: Path
) -> None:
    before = Shop(tmp_path, models_dir)
    assert before.service.accounts.store is not None
    before.service.accounts.store.put_tenant(Tenant(name="local", budgets=(Budget("day", 0),)))
    before.stop()
    shop = Shop(tmp_path, models_dir)
    batch_id = shop.begin(embeddings(3))
    shop.runner.run_pending()
    errors = shop.errors(batch_id)
    assert [one["response"]["status_code"] for one in errors] == [402] * 3
    assert cents(shop.batch(batch_id)["charge"]) == 0
    assert shop.sold_keys() == []


def test_a_fault_is_tried_again_and_then_told(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = iter([True, False, *[True] * computing.FAULTS_MAX])
    model = next(one for one in shop.service.pipeline.models if one.task == "embed")
    compute = model.compute

    def faulty(*given: Any, **options: Any) -> Any:
        if next(failures, False):
            raise MemoryError("secret text")
        return compute(*given, **options)

    monkeypatch.setattr(model, "compute", faulty)
    batch_id = shop.begin(embeddings())
    shop.runner.run_pending()
    told = shop.batch(batch_id)
    assert told["request_counts"] == {"total": 20, "completed": 12, "failed": 8}
    assert [one["response"]["status_code"] for one in shop.errors(batch_id)] == [500] * 8
    assert "secret" not in str(shop.errors(batch_id))
    assert shop.sold_keys() == [(batch_id, 1), (batch_id, 3)]


def test_one_batch_that_cannot_be_computed_keeps_no_other_waiting(shop: Shop) -> None:
    broken, fine = shop.begin(embeddings(2)), shop.begin(embeddings(2))
    shop.storage.write(f"batches/of/local/{broken}.json", b"no json")
    assert shop.runner.run_pending() == 1
    assert shop.batch(fine)["status"] == "completed"


def test_what_is_no_batch_is_none_of_its_business(shop: Shop) -> None:
    assert shop.runner.run("batch_" + "0" * 44) is None
