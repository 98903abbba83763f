"""Requests that waited: the answer that the call would have got, once, for no more than quoted."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from farthing.batch.deliveries import Deliveries
from farthing.batch.errors import JobUnfinished
from farthing.batch.requests import RequestWorker
from farthing.batch.webhooks import Webhooks
from farthing.billing.invoices import statement_of
from farthing.billing.periods import Period, this_month
from farthing.billing.rollups import entries_of
from farthing.billing.stores import open_store
from farthing.billing.valuation import Valuer
from farthing.errors import DeadlineTooNear
from farthing.serving.envelope import Envelope, deadline_after, generate_envelope
from farthing.serving.keys import KeyRing, new_claims, new_entry
from farthing.serving.service import Service
from farthing.settings import read_settings
from tests.batch.waiting import KeepingService

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


TITLES = ["bosch series 4 fridge freezer 186cm", "canon eos 2000d kit", "beko 8kg washing machine"]
LOW = {"inputs": TITLES, "top_k": 2, "priority": "low"}


class Shop(KeepingService):
    """With its caller and its worker."""

    def __init__(self, folder: Path, models: Path, **overrides: object) -> None:
        super().__init__(folder, models, **overrides)
        self.worker = RequestWorker(self.store, lambda _task: self.service)

    def submit(self, body: dict[str, Any] = LOW, **headers: str) -> dict[str, Any]:
        path = "/v1/classify" if "inputs" in body else "/v1/embeddings"
        answer = self.client.post(path, json=body, headers=headers)
        assert answer.status_code == 202, answer.text
        return answer.json()

    def job(self, job_id: str) -> dict[str, Any]:
        answer = self.client.get(f"/v1/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def shop(tmp_path: Path, models_dir: Path) -> Iterator[Shop]:
    one = Shop(tmp_path, models_dir)
    yield one
    one.stop()


def without_price(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in {"usage", "charge"}}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/classify", {"inputs": TITLES, "top_k": 2}),
        ("/v1/classify", {"inputs": TITLES[0]}),
        ("/v1/embeddings", {"input": TITLES, "dimensions": 8}),
        ("/v1/embeddings", {"input": TITLES, "encoding_format": "base64"}),
    ],
)
def test_what_it_comes_to_is_the_answer_of_the_same_call(
    shop: Shop, path: str, body: dict[str, Any]
) -> None:
    at_once = shop.client.post(path, json=body).json()
    told = shop.submit({**body, "priority": "low"})
    assert shop.job(told["id"])["status"] == "queued"
    assert shop.worker.run_pending() == 1
    job = shop.job(told["id"])
    assert job["status"] == "succeeded"
    assert without_price(job["response"]) == without_price(at_once)
    assert job["usage"]["prompt_tokens"] == at_once["usage"]["prompt_tokens"]
    assert job["charge"] == job["response"]["charge"]
    assert job["charge"]["basis"] == "simulated"
    assert job["quote"] == told["charge"]
    assert Decimal(job["charge"]["total"]) <= Decimal(told["charge"]["total"])


def test_the_ledger_has_it_once_under_its_name_and_nothing_waits_any_more(shop: Shop) -> None:
    told = shop.submit()
    shop.worker.run_pending()
    charge = shop.job(told["id"])["charge"]["total"]
    assert list(shop.store.storage.names("in/")) == []
    (sold,) = shop.sold()
    assert (sold["writer"], sold["number"]) == (f"job-{told['id']}", 1)
    assert (sold["tenant"], sold["kind"]) == ("local", "answer")
    assert sold["plan"].startswith("at-cost.low@")
    # A request and each begun millisecond of 1 GB, in femtodollars, halved; at most the quote.
    usage, overhead_ns = sold["usage"], sold["tariff"]["overhead_ns"]
    billed_ms = -(-(usage["busy_ns"] + overhead_ns) // 1_000_000)
    halved = (200_000_000 + billed_ms * 16_666_700) // 2
    quoted = int(Decimal(told["charge"]["total"]) * 10**15)
    assert int(Decimal(charge) * 10**15) == min(halved, quoted // 1000 * 1000)


class Killed(BaseException):
    """What a test kills a worker with: no handler of ours catches it."""


@pytest.mark.parametrize("where", ["before the result", "after it", "after its entry"])
def test_a_worker_that_dies_anywhere_is_followed_by_one_that_does_the_rest(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    told = shop.submit()
    points = {
        "before the result": (shop.store, "finish"),
        "after it": (shop.service.accounts.recorder, "record"),
        "after its entry": (shop.store.storage, "delete"),
    }

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(*points[where], die)
        shop.worker.run_pending()
    seen = shop.job(told["id"])
    assert seen["status"] == ("queued" if where == "before the result" else "succeeded")
    assert shop.worker.run_pending() == 1
    job = shop.job(told["id"])
    assert seen["status"] == "queued" or job == seen
    assert shop.worker.run_pending() == 0
    (sold,) = shop.sold()
    busy_ms = job["response"]["usage"]["busy_ms"]
    assert sold["usage"]["busy_ns"] == round(busy_ms * 1_000_000)


def test_many_workers_at_once_sell_each_job_once(shop: Shop) -> None:
    ids = [shop.submit({**LOW, "inputs": f"title {number}"})["id"] for number in range(20)]
    workers = [RequestWorker(shop.store, lambda _task: shop.service) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda worker: worker.run_pending(), workers))
    results = {job_id: shop.job(job_id) for job_id in ids}
    assert {job["status"] for job in results.values()} == {"succeeded"}
    sold = {one["writer"]: one for one in shop.sold()}
    assert sorted(sold) == sorted(f"job-{job_id}" for job_id in ids)
    for job_id, job in results.items():
        busy_ns = sold[f"job-{job_id}"]["usage"]["busy_ns"]
        assert busy_ns == round(job["response"]["usage"]["busy_ms"] * 1_000_000)


def test_the_oldest_comes_first(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [shop.submit({**LOW, "inputs": f"title {number}"})["id"] for number in range(6)]
    began: list[str] = []
    compute = shop.worker._compute
    monkeypatch.setattr(
        shop.worker, "_compute", lambda job, given: (began.append(job.id), compute(job, given))[1]
    )
    stops = iter([False] * 3 + [True] * 9)
    assert shop.worker.run_pending(lambda: next(stops)) == 3
    shop.worker.run_pending()
    ended = [shop.store.finished(job_id) for job_id in began]
    created = [one.job.created_ms for one in ended if one is not None]
    assert len(created) == len(ids)
    assert created == sorted(created)
    assert sorted(began) == sorted(ids)


def test_a_job_is_cancelled_while_it_waits_and_not_afterwards(shop: Shop) -> None:
    first, second = shop.submit(), shop.submit({**LOW, "top_k": 1})
    cancelled = shop.client.delete(f"/v1/jobs/{first['id']}")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert shop.client.delete(f"/v1/jobs/{first['id']}").status_code == 200
    assert shop.worker.run_pending() == 1
    assert shop.job(first["id"])["status"] == "cancelled"
    over = shop.client.delete(f"/v1/jobs/{second['id']}")
    assert (over.status_code, over.json()["title"]) == (409, "The job has ended")
    assert len(shop.sold()) == 1


def test_one_that_is_cancelled_while_it_is_computed_costs_the_house(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = shop.submit()
    invoke = shop.service.pipeline.invoke

    def cancelled_meanwhile(*given: Any) -> Any:
        outcome = invoke(*given)
        assert shop.client.delete(f"/v1/jobs/{told['id']}").status_code == 200
        return outcome

    monkeypatch.setattr(shop.service.pipeline, "invoke", cancelled_meanwhile)
    shop.worker.run_pending()
    assert shop.job(told["id"])["status"] == "cancelled"
    entries = shop.entries()
    assert [one["tenant"] for one in entries] == ["house", "house"]
    # The work was done: its tokens stand beside those of accepting it, which had none.
    assert sorted(one["usage"]["prompt_tokens"] for one in entries)[1] > 0


def test_what_passes_is_tried_again_and_its_cost_is_the_houses(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = shop.submit()
    hurried = Envelope("hurried", deadline_after(1), "whoever")
    with pytest.raises(JobUnfinished, match="503"):
        shop.worker.run_one(f"in/{told['id']}.json", hurried)
    assert shop.job(told["id"])["status"] == "queued"
    given = generate_envelope(30_000, "whoever")
    result = shop.worker.run_one(f"in/{told['id']}.json", given)
    assert result is not None
    assert result.entry is not None
    assert (result.entry.request_id, result.entry.tenant) == (given.request_id, "local")
    by_tenant = [(one["tenant"], one["status"]) for one in shop.entries() if "status" in one]
    assert by_tenant == [("house", 202), ("house", DeadlineTooNear.status)]


def test_a_fault_is_tried_three_times_and_then_told(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = shop.submit()
    (model,) = [one for one in shop.service.pipeline.models if one.task == "classify"]

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("inside")

    monkeypatch.setattr(model, "compute", fail)
    assert [shop.worker.run_pending() for _ in range(4)] == [0, 0, 1, 0]
    job = shop.job(told["id"])
    assert job["status"] == "failed"
    assert job["problem"]["status"] == 500
    assert "charge" not in job
    assert shop.sold() == []


def test_a_job_whose_terms_are_not_known_any_more_fails_and_says_why(
    tmp_path: Path, models_dir: Path
) -> None:
    gold = {"plans": '[{"name": "gold", "markup": 2}]', "plan": "gold"}
    before = Shop(tmp_path, models_dir, **gold)
    told = before.submit()
    before.stop()
    after = Shop(tmp_path, models_dir)
    after.worker.run_pending()
    job = after.job(told["id"])
    assert (job["status"], job["problem"]["status"]) == ("failed", 403)
    assert "FARTHING_PLANS" in job["problem"]["detail"]
    after.stop()


def test_a_job_is_sold_under_the_terms_that_it_was_accepted_under(
    tmp_path: Path, models_dir: Path
) -> None:
    old = '{"name": "gold", "usd_per_call": "0.001"}'
    before = Shop(tmp_path, models_dir, plans=f"[{old}]", plan="gold")
    told = before.submit()
    before.stop()
    new = '{"name": "gold", "usd_per_call": "0.5", "low_priority": 1}'
    after = Shop(tmp_path, models_dir, plans=f"[{old}, {new}]", plan="gold")
    after.worker.run_pending()
    assert after.job(told["id"])["charge"]["total"] == told["charge"]["total"] == "0.0005"
    after.stop()


def test_jobs_that_one_call_of_the_platform_computes_are_each_sold(shop: Shop) -> None:
    before = this_month()
    told = [shop.submit({**LOW, "inputs": title}) for title in TITLES]
    one_call = generate_envelope(30_000, "whoever")
    for one in told:
        assert shop.worker.run_one(f"in/{one['id']}.json", one_call) is not None
        assert shop.worker.run_one(f"in/{one['id']}.json", one_call) is None
    charges = [Decimal(shop.job(one["id"])["charge"]["total"]) for one in told]
    assert {one["request_id"] for one in shop.sold()} == {one_call.request_id}
    store = open_store(shop.settings.ledger)
    # A month may have ended meanwhile.
    meanwhile = Period(before.since, this_month().until)
    invoice = statement_of("local", entries_of(store, meanwhile), Valuer({}), meanwhile)
    store.close()
    assert invoice.total == sum(charges)


@pytest.mark.parametrize(
    "name", ["in/../../etc/passwd", "in/job_x.json", "in/", "out/x.json", "in/job_\n.json", ""]
)
def test_a_name_that_is_no_jobs_is_nothing_to_do(shop: Shop, name: str) -> None:
    assert shop.worker.run_one(name) is None


@pytest.mark.parametrize(
    ("job_id", "status"),
    [
        ("job_" + "0" * 32, 404),
        ("job_" + "0" * 31, 422),
        ("job_" + "G" * 32, 422),
        ("{id}", 422),
        ("..%2F..%2Fetc%2Fpasswd", 404),
        ("%2e%2e", 422),
        ("job_" + "0" * 32 + "%00", 422),
        ("", 404),
    ],
)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_id_that_is_no_jobs_is_refused(
    shop: Shop, job_id: str, status: int, method: str
) -> None:
    answer = shop.client.request(method, f"/v1/jobs/{job_id}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def keyed(tmp_path: Path, models_dir: Path) -> tuple[Shop, dict[str, dict[str, str]]]:
    secret = new_entry()
    ring = KeyRing([secret])
    bearers = {
        name: {"Authorization": f"Bearer {ring.sign(new_claims(tenant, 3600, scope=scope))}"}
        for name, tenant, scope in (
            ("acme", "acme", "*"),
            ("globex", "globex", "*"),
            ("other", "acme", "embed"),
        )
    }
    return Shop(tmp_path, models_dir, access="keys", keys=[secret]), bearers


def test_a_tenant_sees_its_own_jobs_and_nobody_elses(tmp_path: Path, models_dir: Path) -> None:
    shop, bearers = keyed(tmp_path, models_dir)
    told = shop.submit(LOW, **bearers["acme"])
    path = f"/v1/jobs/{told['id']}"
    expected = {"acme": 200, "globex": 404, "other": 403}
    for name, status in expected.items():
        assert shop.client.get(path, headers=bearers[name]).status_code == status
    for name in ("globex", "other"):
        assert shop.client.delete(path, headers=bearers[name]).status_code == expected[name]
    assert shop.client.get(path).status_code == 401
    shop.worker.run_pending()
    answer = shop.client.get(path, headers=bearers["acme"]).json()
    assert answer["status"] == "succeeded"
    unknown = shop.client.get(f"/v1/jobs/job_{'0' * 32}", headers=bearers["globex"]).json()
    theirs = shop.client.get(path, headers=bearers["globex"]).json()
    assert theirs["detail"] == unknown["detail"]
    assert [one["tenant"] for one in shop.sold()] == ["acme"]


def test_where_nothing_may_wait_there_are_no_jobs(tmp_path: Path, models_dir: Path) -> None:
    service = Service(["classify"], read_settings({}, models=str(models_dir)))
    answer = TestClient(service.app).get("/v1/jobs/job_" + "0" * 32)
    assert answer.status_code == 404
    assert "FARTHING_JOBS" in answer.json()["detail"]


def test_a_job_calls_its_webhook_when_it_has_ended_and_does_not_fail_with_it(
    shop: Shop, tmp_path: Path
) -> None:
    called: list[tuple[str, str, dict[str, Any]]] = []

    class Refusing(Webhooks):
        def call(self, url: str, message_id: str, body: bytes) -> int:
            called.append((url, message_id, json.loads(body)))
            return 500

    secret = "whsec_" + "c2VjcmV0" * 6
    waiting = Shop(tmp_path / "hooked", shop.settings.models, webhook_secret=secret)
    told = waiting.submit({**LOW, "webhook": "https://hooks.example.com/x"})
    worker = RequestWorker(
        waiting.store,
        lambda _task: waiting.service,
        Deliveries(waiting.store, Refusing(secret)),
    )
    assert worker.run_one(f"in/{told['id']}.json") is not None
    job = waiting.job(told["id"])
    assert job["status"] == "succeeded"
    ((url, message_id, message),) = called
    assert (url, message_id) == ("https://hooks.example.com/x", f"msg_{told['id']}")
    assert message["type"] == "job.succeeded"
    assert message["data"] == {name: job[name] for name in message["data"]}
    assert "response" not in message["data"]
    assert list(waiting.store.ids("hooks/")) == [told["id"]]
    waiting.stop()


def test_a_webhook_that_nobody_can_sign_here_is_told_in_the_log(
    shop: Shop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "whsec_" + "c2VjcmV0" * 6
    waiting = Shop(tmp_path / "hooked", shop.settings.models, webhook_secret=secret)
    told = waiting.submit({**LOW, "webhook": "https://hooks.example.com/x"})
    assert waiting.worker.run_pending() == 1
    assert waiting.job(told["id"])["status"] == "succeeded"
    assert "FARTHING_WEBHOOK_SECRET" in caplog.text
    waiting.stop()
