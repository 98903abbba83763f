"""With a cache every answer is the one without; only what it took is less."""

from __future__ import annotations

import logging
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from farthing.errors import SettingsError
from farthing.serving.cache import answering, open_cache
from farthing.settings import read_settings
from tests.core.caching import UNTIL_S, Cached

if TYPE_CHECKING:
    from farthing.serving.outcome import Outcome

SECRET = "s3cr3t-word"


def usage(outcome: Outcome) -> tuple[str, int, int]:
    told: Any = outcome.body["usage"]
    return told["cache"], told["prompt_tokens"], told["cached_tokens"]


def test_the_second_answer_is_the_first_and_computes_nothing() -> None:
    cached, plain = Cached(), Cached("off")
    for ask, model in (
        (lambda bench: bench.classify("banana"), cached.classifier),
        (lambda bench: bench.embed("banana"), cached.embedder),
    ):
        first, second, without = ask(cached), ask(cached), ask(plain)
        member = "results" if "results" in first.body else "data"
        assert first.body[member] == second.body[member] == without.body[member]
        assert [usage(one) for one in (without, first, second)] == [
            ("off", 6, 0), ("miss", 6, 0), ("hit", 6, 6),
        ]  # fmt: skip
        assert model.computed == 1


def test_texts_with_one_normal_form_are_one() -> None:
    cached = Cached()
    assert usage(cached.classify(" BaNaNa"))[0] == "miss"
    assert usage(cached.classify("banana "))[0] == "hit"


def test_a_call_is_answered_in_part() -> None:
    cached, plain = Cached(), Cached("off")
    cached.classify("aa", "cc")
    mixed = ["bbb", "aa", "dddd", "cc", "abcdefghijkl"]
    outcome = cached.classify(*mixed)
    assert outcome.body["results"] == plain.classify(*mixed).body["results"]
    assert usage(outcome) == ("miss", 3 + 2 + 4 + 2 + 8, 4)
    assert outcome.body["usage"]["truncated"] == 1
    assert cached.classifier.computed == 2 + 3
    again = cached.classify(*mixed)
    assert (usage(again), again.body["usage"]["truncated"]) == (("hit", 19, 19), 1)


def test_equal_texts_of_one_call_are_computed_once() -> None:
    cached, plain = Cached(), Cached("off")
    texts = ["aab", "xyz", "AAB", "aab ", "xyz"]
    outcome = cached.embed(*texts)
    assert outcome.body["data"] == plain.embed(*(t.strip().lower() for t in texts)).body["data"]
    assert cached.embedder.computed == 2
    assert usage(outcome) == ("miss", 15, 9)


def test_what_is_asked_about_rows_is_applied_to_kept_ones() -> None:
    cached, plain = Cached(), Cached("off")
    for bench in (cached, plain):
        bench.classify("aaab1")
        bench.embed("aaab1")
    for more in ({"top_k": 1}, {"top_k": 2}):
        kept = cached.classify("aaab1", **more)
        assert kept.body["results"] == plain.classify("aaab1", **more).body["results"]
    for more in ({"dimensions": 2}, {"encoding_format": "base64"}):
        assert (
            cached.embed("aaab1", **more).body["data"] == plain.embed("aaab1", **more).body["data"]
        )
    assert cached.classifier.computed == cached.embedder.computed == 1


def test_another_tenants_answers_are_not_this_ones_unless_they_are_shared() -> None:
    apart, shared = Cached(), Cached(cache_scope="service")
    for bench, expected in ((apart, "miss"), (shared, "hit")):
        bench.classify("banana", tenant="acme")
        assert usage(bench.classify("banana", tenant="globex"))[0] == expected


def test_another_model_or_task_has_answers_of_its_own() -> None:
    cached = Cached()
    cached.classify("banana")
    assert usage(cached.embed("banana"))[0] == "miss"
    cached.classifier.digest = "e" * 64
    assert usage(cached.classify("banana"))[0] == "miss"


def test_refusals_and_failures_are_never_kept() -> None:
    cached = Cached()

    def fail() -> None:
        raise RuntimeError("the model broke")

    cached.classifier.on_compute = fail
    assert cached.classify("banana").status == 500
    assert cached.classify("banana", top_k=99).status == 422
    cached.classifier.on_compute = lambda: None
    assert usage(cached.classify("banana"))[0] == "miss"


def test_an_answer_older_than_its_time_is_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cached = Cached(cache_ttl_s=60)
    # In the midst of a second: entries keep whole ones.
    now_s = int(time.time()) + 0.5
    monkeypatch.setattr(answering.time, "time", lambda: now_s)
    cached.classify("banana")
    monkeypatch.setattr(answering.time, "time", lambda: now_s + 59)
    assert usage(cached.classify("banana"))[0] == "hit"
    monkeypatch.setattr(answering.time, "time", lambda: now_s + 61)
    assert usage(cached.classify("banana"))[0] == "miss"
    assert cached.tally().expired == 1
    # A clock that is set back leaves entries from the future, which nobody can vouch for.
    monkeypatch.setattr(answering.time, "time", lambda: now_s - 301)
    assert usage(cached.classify("banana"))[0] == "miss"
    assert cached.tally().refused == 1


def test_a_time_of_nothing_keeps_nothing_and_a_year_is_a_time() -> None:
    assert usage(Cached(cache_ttl_s=0).classify("banana"))[0] == "off"
    year = Cached(cache_ttl_s=365 * 24 * 3600)
    year.classify("banana")
    assert usage(year.classify("banana"))[0] == "hit"
    with pytest.raises(SettingsError, match="FARTHING_CACHE_TTL_S"):
        read_settings({"FARTHING_CACHE_TTL_S": str(366 * 24 * 3600)})


def test_what_is_held_stays_within_its_room() -> None:
    cached = Cached(cache_max_mb=1)
    for start in range(0, 6_000, 500):
        cached.embed(*(f"{number:06}" for number in range(start, start + 500)))
    held = cached.cache._memory.bytes_held
    assert 0.9 * (1 << 20) < held <= 1 << 20
    assert usage(cached.embed("005999"))[0] == "hit"
    assert usage(cached.embed("000000"))[0] == "miss"


@pytest.mark.parametrize("vectors", ["float16", "int8"])
def test_rounded_vectors_are_the_same_kept_or_computed(vectors: str) -> None:
    cached, exact = Cached(cache_vectors=vectors), Cached("off")
    texts = ["abc", "aab1", "abcdefg", "abc"]
    first, second = cached.embed(*texts), cached.embed(*texts)
    assert first.body["data"] == second.body["data"]
    for rounded, whole in zip(first.body["data"], exact.embed(*texts).body["data"], strict=True):
        assert rounded["embedding"] == pytest.approx(whole["embedding"], abs=0.005)
    assert first.body["data"] != exact.embed(*texts).body["data"]
    assert (
        cached.classify("banana").body["results"] == cached.classify("banana").body["results"]
        == exact.classify("banana").body["results"]
    )  # fmt: skip


def test_spoilt_memory_is_a_miss() -> None:
    cached = Cached()
    cached.classify("banana")
    ((key, kept),) = cached.cache._memory._kept.items()
    cached.cache._memory.put_many([(key, kept.value[:-1] + b"?")], 60)
    assert usage(cached.classify("banana"))[0] == "miss"
    assert cached.tally().refused == 1
    assert usage(cached.classify("banana"))[0] == "hit"


def test_a_forks_child_answers_from_a_cache_of_its_own() -> None:
    cached = Cached()
    cached.classify("banana")
    child = os.fork()
    if child == 0:
        # Whatever goes wrong in here, no test may run on in a child.
        signal.alarm(UNTIL_S)
        told = []
        try:
            told += [usage(cached.classify("banana"))[0] for _ in range(2)]
        finally:
            os._exit(0 if told == ["miss", "hit"] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert usage(cached.classify("banana"))[0] == "hit"


@pytest.mark.parametrize(
    "address",
    [
        "redis", "memcached://host", f"redis://user:{SECRET}@", f"redis://:{SECRET}@host:port",
        f"http://{SECRET}", "dynamodb:", "dynamodb://table", "dynamodb:table",
    ],
)  # fmt: skip
def test_what_is_no_caches_address_is_refused_at_start(
    address: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    caplog.set_level(logging.DEBUG)
    with pytest.raises(SettingsError, match="FARTHING_CACHE") as refused:
        open_cache(read_settings({"FARTHING_CACHE": address}))
    assert SECRET not in str(refused.value) + caplog.text


def test_hosts_that_serve_keep_answers_in_the_process() -> None:
    sized = {"FARTHING_MEMORY_MB": "1024", "FARTHING_VCPU_MILLI": "1000"}
    for host, cache in (("lambda", "memory"), ("fc", "memory"), ("knative", "memory")):
        assert read_settings({"FARTHING_PLATFORM": host, **sized}).cache == cache
    assert read_settings({}).cache == "off"
    assert read_settings({}, platform="knative").cache == "off"
    assert (
        read_settings({"FARTHING_PLATFORM": "fc", "FARTHING_CACHE": "off", **sized}).cache == "off"
    )
