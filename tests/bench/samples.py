"""Texts and events, the same for every contestant."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import msgspec

TITLES = (
    "apple iphone 8 plus 64gb silver",
    "samsung ue55nu7100 55 inch 4k ultra hd smart led tv with freeview",
    "bosch serie 4 wan28201gb freestanding washing machine white",
    "canon eos 2000d dslr camera with 18-55mm is ii lens kit",
    "intel core i7 8700k 3.7ghz socket 1151 box without cooler",
    "hotpoint rzaav22p under counter freezer a+ energy rating white",
    "neff b57cs24h0b slide and hide single electric oven",
    "amd ryzen 5 2600x 3.6ghz socket am4 processor",
)

_WORDS = " ".join(TITLES).split()


def varied_texts(count: int, words_max: int = 120, seed: int = 7) -> list[str]:
    """Texts of 1 to `words_max` words, short ones more often, the same for the same seed."""
    choose = random.Random(seed)
    lengths = [1 + int((words_max - 1) * choose.random() ** 3) for _ in range(count)]
    return [" ".join(choose.choices(_WORDS, k=length)) for length in lengths]


def titles() -> list[str]:
    """A thousand product titles as their shops wrote them."""
    sample = Path(__file__).resolve().parents[1] / "data" / "pricerunner-sample.tsv.gz"
    with gzip.open(sample, "rt", encoding="utf-8") as rows:
        return [row.split("\t")[1] for row in rows][1:]


def embeddings_body(text: str) -> bytes:
    return msgspec.json.encode({"input": text, "encoding_format": "float"})


def http_api_event(path: str, body: bytes) -> dict[str, object]:
    """What API Gateway's HTTP API (payload version 2.0) hands to a Lambda function.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
    """
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {
            "content-type": "application/json",
            "content-length": str(len(body)),
            "host": "bench.execute-api.us-east-1.amazonaws.com",
            "user-agent": "bench",
            "x-forwarded-for": "203.0.113.7",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
        },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "bench",
            "domainName": "bench.execute-api.us-east-1.amazonaws.com",
            "domainPrefix": "bench",
            "http": {
                "method": "POST",
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": "bench",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "$default",
            "stage": "$default",
            "time": "21/Nov/2026:12:00:00 +0000",
            "timeEpoch": 1795262400000,
        },
        "body": body.decode(),
        "isBase64Encoded": False,
    }


class LambdaContext:
    """What the runtime tells of an invocation."""

    aws_request_id = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000
