"""Kubernetes' spellings, read as Kubernetes, Go and ISO 8601 read them."""

from __future__ import annotations

import pytest

from farthing.deployment.knative.overlay import selects
from farthing.deployment.knative.quantities import (
    cpu_milli,
    go_duration_s,
    iso_duration_s,
    memory_mb,
    not_seventy,
)


@pytest.mark.parametrize(
    ("text", "milli"), [("1", 1000), (1, 1000), ("250m", 250), ("0.5", 500), ("1 cpu", None)]
)
def test_cpu_is_read_in_thousandths(text: object, milli: int | None) -> None:
    assert cpu_milli(text) == milli


@pytest.mark.parametrize(
    ("text", "mb"), [("1024Mi", 1024), ("1Gi", 1024), (1048576, 1), ("1GB", None), ("..", None)]
)
def test_memory_is_read_in_binary_megabytes(text: object, mb: int | None) -> None:
    assert memory_mb(text) == mb


@pytest.mark.parametrize(
    ("text", "seconds"), [("60s", 60), ("1m30s", 90), ("1h", 3600), ("60", None), ("", None)]
)
def test_a_go_duration_has_a_unit(text: str, seconds: float | None) -> None:
    assert go_duration_s(text) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"), [("PT1S", 1), ("PT1M30S", 90), ("PT0.5S", 0.5), ("PT", None), ("1s", None)]
)
def test_an_iso_duration_begins_with_pt(text: str, seconds: float | None) -> None:
    assert iso_duration_s(text) == seconds


def test_seventy_is_a_percentage_however_it_is_written() -> None:
    assert not_seventy("70") is None
    assert not_seventy("70.0") is None
    assert not_seventy(70) is None
    assert "a fraction" in str(not_seventy("0.7"))
    assert "no number" in str(not_seventy("70%"))
    assert "missing" in str(not_seventy(None))


@pytest.mark.parametrize(
    ("selector", "takes"),
    [
        ({}, True),
        ({"matchLabels": {"app": "x"}}, True),
        ({"matchLabels": {"app": "x", "tier": "y"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["x", "z"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["x"]}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "in", "values": ["x"]}]}, False),
    ],
)
def test_a_selector_takes_pods_as_kubernetes_does(selector: object, takes: bool) -> None:
    assert selects(selector, {"app": "x"}) is takes
