"""Many who ask the same at once, while nobody has answered it yet: it is computed once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from farthing.billing.meter import meter_of
from farthing.billing.prices import read_price_book
from farthing.billing.shares import SharedTime
from farthing.inference.batcher import open_batcher
from farthing.inference.tasks import open_models
from farthing.serving.accounts import Accounts
from farthing.serving.contracts.classify import Classify
from farthing.serving.envelope import Envelope, deadline_after
from farthing.serving.pipeline import Pipeline
from farthing.settings import read_settings

if TYPE_CHECKING:
    from pathlib import Path

CALLERS = 24
TITLE = "samsung ue55nu7100 55 inch 4k ultra hd smart led tv"


@pytest.mark.parametrize("model", ["product-classifier", "retail-banking-intents"])
def test_a_stampede_computes_its_text_once(
    model: str, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = read_settings(
        {}, memory_mb=1024, models=models_dir, model=[model], cache="memory", workers=2,
        queue_max_ms=60_000,
    )  # fmt: skip
    models = open_models("classify", settings)
    ran: list[int] = []
    held = threading.Event()
    session: Any = models[0]._session
    honest = session.run

    def run(inputs: Any) -> Any:
        ran.append(len(inputs["input_ids"]))
        held.wait(60)
        return honest(inputs)

    monkeypatch.setattr(session, "run", run)
    meter = meter_of(read_price_book(), settings)
    pipeline = Pipeline(settings, {"classify": models}, meter, SharedTime(), Accounts(settings))
    pipeline.batcher = open_batcher(settings)
    submit = pipeline.batcher.submit
    waiting: list[Any] = []

    def submit_and_tell(*asked: Any) -> Any:
        ticket = submit(*asked)
        waiting.append(ticket)
        if len(waiting) == CALLERS:
            held.set()
        return ticket

    monkeypatch.setattr(pipeline.batcher, "submit", submit_and_tell)
    bodies = []

    def ask() -> None:
        envelope = Envelope("attempt", deadline_after(3_600_000), "acme")
        bodies.append(
            pipeline.invoke(Classify(), {"inputs": [TITLE.upper(), TITLE]}, envelope).body
        )

    callers = [threading.Thread(target=ask) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    pipeline.batcher.close()
    assert sum(ran) == 1
    assert len(bodies) == CALLERS
    assert len({str(body["results"]) for body in bodies}) == 1
