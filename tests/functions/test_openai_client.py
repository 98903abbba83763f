"""The `openai` package, unchanged, against our `/v1`: whoever uses it can move here."""

from __future__ import annotations

import base64
import math
import struct
from decimal import Decimal
from typing import TYPE_CHECKING

import openai
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.functions.server import Server

MODEL = "all-minilm-l6-v2"
TITLES = [
    "bosch series 4 free-standing fridge freezer 186cm stainless steel",
    "samsung ue55nu7100 55 inch 4k ultra hd hdr smart tv",
    "beko 8kg 1400 spin washing machine white a+++",
]


@pytest.fixture(scope="module")
def client(local_server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{local_server.url}/v1",
        api_key="unused",
        max_retries=0,
        http_client=openai.DefaultHttpxClient(trust_env=False),
    ) as opened:
        yield opened


def length(vector: list[float]) -> float:
    return math.sqrt(math.fsum(component**2 for component in vector))


def test_float_and_base64_carry_the_same_vector(client: openai.OpenAI) -> None:
    as_float = client.embeddings.create(model=MODEL, input=TITLES[0], encoding_format="float")
    # The client decodes base64 only where the caller did not ask for it by name.
    as_text = client.embeddings.create(model=MODEL, input=TITLES[0], encoding_format="base64")
    decoded_by_client = client.embeddings.create(model=MODEL, input=TITLES[0])
    raw = base64.b64decode(str(as_text.data[0].embedding))
    unpacked = list(struct.unpack(f"<{len(raw) // 4}f", raw))
    assert as_float.data[0].embedding == unpacked
    assert decoded_by_client.data[0].embedding == unpacked


def test_a_vector_has_length_one(client: openai.OpenAI) -> None:
    vector = client.embeddings.create(model=MODEL, input=TITLES[0]).data[0].embedding
    assert len(vector) == 384
    assert length(vector) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("encoding_format", ["float", "base64"])
def test_dimensions_keep_the_direction_of_the_first_components(
    client: openai.OpenAI, encoding_format: str
) -> None:
    whole = client.embeddings.create(model=MODEL, input=TITLES[0]).data[0].embedding
    answer = client.embeddings.create(
        model=MODEL, input=TITLES[0], dimensions=64, encoding_format=encoding_format
    )
    short = answer.data[0].embedding
    if encoding_format == "base64":
        short = list(struct.unpack("<64f", base64.b64decode(str(short))))
    scale = length(whole[:64])
    assert length(short) == pytest.approx(1, abs=1e-6)
    assert short == pytest.approx([component / scale for component in whole[:64]], abs=1e-6)


def test_a_list_is_answered_in_its_order(client: openai.OpenAI) -> None:
    together = client.embeddings.create(model=MODEL, input=TITLES)
    assert [item.index for item in together.data] == [0, 1, 2]
    for title, item in zip(TITLES, together.data, strict=True):
        alone = client.embeddings.create(model=MODEL, input=title).data[0].embedding
        cosine = math.fsum(x * y for x, y in zip(alone, item.embedding, strict=True))
        # Manifests promise that neighbours in a batch move a vector by no more than this.
        assert cosine >= 0.99999


def test_tokens_are_counted_in_the_clients_own_fields(client: openai.OpenAI) -> None:
    one = client.embeddings.create(model=MODEL, input=TITLES[0]).usage
    three = client.embeddings.create(model=MODEL, input=TITLES).usage
    assert one.prompt_tokens == one.total_tokens > 2
    assert three.total_tokens > one.total_tokens


def test_models_are_listed(client: openai.OpenAI) -> None:
    listed = {model.id: model for model in client.models.list()}
    assert MODEL in listed
    assert listed[MODEL].object == "model"


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refusal:
        client.embeddings.create(model="text-embedding-3-small", input=TITLES[0])
    assert refusal.value.body["type"] == "urn:farthing:problem:unknown-model"
    assert MODEL in str(refusal.value)


def test_the_raw_response_tells_its_price(client: openai.OpenAI) -> None:
    raw = client.embeddings.with_raw_response.create(model=MODEL, input=TITLES[0])
    price = raw.headers["x-farthing-cost-usd"]
    charge = raw.parse().model_extra["charge"]
    assert price == raw.headers["x-litellm-response-cost"] == charge["total"]
    assert Decimal(price) == sum(Decimal(line["amount"]) for line in charge["lines"]) > 0
    assert raw.headers["x-litellm-total-tokens"] == str(raw.parse().usage.total_tokens)
