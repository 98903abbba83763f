"""Kubernetes' spellings of amounts: CPU, memory, durations, and the percentage of the CPU rule."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

# https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
SUFFIXES = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
}
QUANTITY = re.compile(r"([0-9.]+)(m|k|M|G|Ki|Mi|Gi)?")
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
GO_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h))+")
ISO_DURATION = re.compile(r"PT(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?")
CPU_PERCENT = 70


def quantity(value: object) -> Decimal | None:
    """In cores or bytes; None for what is no quantity."""
    match = QUANTITY.fullmatch(str(value))
    number = _decimal(match[1]) if match else None
    return number * SUFFIXES[match[2] or ""] if match and number is not None else None


def cpu_milli(value: object) -> Decimal | None:
    cores = quantity(value)
    return None if cores is None else cores * 1000


def memory_mb(value: object) -> Decimal | None:
    size_bytes = quantity(value)
    return None if size_bytes is None else size_bytes / 2**20


def go_duration_s(value: object) -> float | None:
    """Seconds of Go's spelling, `1m30s`; None for what is none, such as a bare number."""
    text = str(value)
    if not GO_DURATION.fullmatch(text):
        return None
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
    return sum(float(number) * SECONDS[unit] for number, unit in parts)


def iso_duration_s(value: object) -> float | None:
    """Seconds of ISO 8601's spelling up to hours, `PT1M30S`; None for what is none."""
    match = ISO_DURATION.fullmatch(str(value))
    if match is None:
        return None
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def number(value: object) -> Decimal | None:
    return _decimal(str(value))


def whole(value: object) -> int | None:
    """A whole number written plainly; None for anything else."""
    text = str(value)
    return int(text) if re.fullmatch(r"\d{1,9}", text) else None


def not_seventy(value: object) -> str | None:
    """Why a text is not the project's CPU rule, 70 %, in percent; None where it is."""
    found = None if value is None else number(value)
    if value is None:
        return "It is missing, so another rule than 70 % holds."
    if found is None:
        return f"It is {value!r}, which is no number."
    if found == CPU_PERCENT:
        return None
    if 0 < found <= 1:
        return f"It is {value!r}, a fraction where a percentage belongs."
    return f"It is {value!r}, but this project's rule is {CPU_PERCENT} %."


def _decimal(text: str) -> Decimal | None:
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if found.is_finite() else None
