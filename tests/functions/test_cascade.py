"""A cascade over HTTP: its answers say which model gave them, and what each took and cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.functions.server import farthing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Serve
    from tests.functions.server import Server

WORDS, INTENTS, CASCADE = (
    "retail-banking-words",
    "retail-banking-intents",
    "retail-banking-cascade",
)
SURE = "I lost my card"
UNSURE = "the thing did not do what it should, and nobody tells me anything about it"
DIGITS = 30
# The runtime around a call, and the rounding up to whole milliseconds; no start is so short.
AROUND_MS_MAX = 1.7


@pytest.fixture(scope="module")
def server(serve_for_session: Serve) -> Iterator[Server]:
    """The cascade alone, as on a function that keeps answers."""
    command = farthing("serve", "--port", "{port}", "--platform", "lambda")
    yield serve_for_session(command, {"FARTHING_MODEL": CASCADE, "FARTHING_CACHE": "memory"})


def classify(server: Server, *texts: str, **more: Any) -> dict[str, Any]:
    response = server.client.post("/v1/classify", json={"inputs": list(texts), **more})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def units(amount: str) -> int:
    """A decimal string as a whole number of the smallest units, without any arithmetic of ours."""
    whole, _, fraction = amount.partition(".")
    assert len(fraction) <= DIGITS
    return int(whole + fraction.ljust(DIGITS, "0"))


def test_the_charge_says_which_model_answered_and_what_each_took(server: Server) -> None:
    answer = classify(server, SURE, UNSURE, top_k=1)
    charge = answer["charge"]
    assert answer["model"] == CASCADE
    assert charge["models"] == {WORDS: 1, INTENTS: 1}
    names = [stage["stage"] for stage in charge["stages"]]
    assert names == ["request", WORDS, INTENTS, "other"]
    assert all(stage["busy_ms"] > 0 for stage in charge["stages"][1:3])


@pytest.mark.parametrize(
    ("texts", "models"),
    [
        (["I have lost my card"], {WORDS: 1}),
        (["and nobody tells me what it should do"], {INTENTS: 1}),
        (["my card is lost, help", "nobody tells me what it should be"], {WORDS: 1, INTENTS: 1}),
    ],
)
def test_what_the_stages_cost_adds_up_to_the_charge(
    server: Server, texts: list[str], models: dict[str, int]
) -> None:
    charge = classify(server, *texts)["charge"]
    assert charge["models"] == models
    stages = {stage["stage"]: units(stage["amount"]) for stage in charge["stages"]}
    assert sum(stages.values()) == units(charge["total"]) > 0
    assert sum(units(line["amount"]) for line in charge["lines"]) == units(charge["total"])
    assert (INTENTS in stages) == (INTENTS in models)


def test_a_kept_answer_is_the_same_and_still_says_who_gave_it(server: Server) -> None:
    texts = ("how do I get a virtual card?", "it is not what nobody wanted it to be")
    first, again = classify(server, *texts), classify(server, *texts)
    assert again["results"] == first["results"]
    assert again["usage"]["cache"] == "hit"
    assert again["charge"]["models"] == first["charge"]["models"] == {WORDS: 1, INTENTS: 1}
    # Nothing was computed, so no model took anything.
    assert [stage["stage"] for stage in again["charge"]["stages"]] == ["request", "other"]
    assert sum(units(stage["amount"]) for stage in again["charge"]["stages"]) == units(
        again["charge"]["total"]
    )


def test_all_labels_are_told_and_no_more_may_be_asked_for(server: Server) -> None:
    (labels,) = classify(server, SURE)["results"]
    assert len({entry["label"] for entry in labels}) == 77
    assert sum(entry["score"] for entry in labels) == pytest.approx(1, abs=1e-4)
    refused = server.client.post("/v1/classify", json={"inputs": SURE, "top_k": 78})
    assert refused.status_code == 422
    assert "has 77 labels" in refused.json()["detail"]


def test_it_is_listed_with_its_stages_which_are_not_served_themselves(server: Server) -> None:
    (model,) = [it for it in server.client.get("/v1/models").json()["data"] if "stages" in it]
    assert model["id"] == CASCADE
    assert [stage["bundle"] for stage in model["stages"]] == [WORDS, INTENTS]
    refused = server.client.post("/v1/classify", json={"inputs": SURE, "model": WORDS})
    assert refused.status_code == 404


def test_a_plain_model_tells_neither_models_nor_stages(local_server: Server) -> None:
    charge = classify(local_server, SURE, model=INTENTS)["charge"]
    assert not {"models", "stages"} & charge.keys()
    staged = classify(local_server, SURE, model=CASCADE)["charge"]
    assert staged["models"] == {WORDS: 1}


def test_the_first_answer_carries_the_start_of_all_stages(serve: Serve) -> None:
    command = farthing("serve", "--port", "{port}", "--platform", "lambda", "--cold")
    server = serve(command, {"FARTHING_MODEL": CASCADE})
    first, second = classify(server, SURE), classify(server, SURE)
    assert (first["usage"]["cold"], second["usage"]["cold"]) == (True, False)
    for answer in (first, second):
        amounts = [units(stage["amount"]) for stage in answer["charge"]["stages"]]
        assert sum(amounts) == units(answer["charge"]["total"])
    # What is billed beside the call's own time, however long that took.
    starts_ms = [one["usage"]["billed_ms"] - one["usage"]["busy_ms"] for one in (first, second)]
    assert starts_ms[0] > AROUND_MS_MAX >= starts_ms[1]


def test_a_cascade_whose_stage_was_changed_does_not_start(models_dir: Path, tmp_path: Path) -> None:
    from tests.functions.server import run_to_end

    for name in (CASCADE, WORDS):
        (tmp_path / name).symlink_to(models_dir / name)
    ended = run_to_end(
        farthing("serve", "--port", "0"),
        {"FARTHING_MODELS": str(tmp_path), "FARTHING_MODEL": CASCADE},
    )
    assert ended.returncode == 1
    assert f"{CASCADE} has the stage {INTENTS}" in ended.stderr
    assert "Traceback" not in ended.stderr
