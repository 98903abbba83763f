"""Settings are read once, at the edge, and refuse what they cannot use."""

import pytest

from farthing.errors import SettingsError
from farthing.settings import read_settings

LAMBDA = {
    "AWS_LAMBDA_FUNCTION_NAME": "classify",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
    "AWS_REGION": "eu-west-1",
}
FC = {"FARTHING_PLATFORM": "fc", "FARTHING_MEMORY_MB": "512", "FARTHING_VCPU_MILLI": "350"}
KNATIVE = {"K_SERVICE": "embed", "FARTHING_MEMORY_MB": "1024", "FARTHING_VCPU_MILLI": "1000"}


def test_lambda_tells_memory_and_region_and_sells_cpu_with_memory() -> None:
    settings = read_settings(LAMBDA)
    assert (settings.host, settings.platform) == ("lambda", "lambda")
    assert (settings.memory_mb, settings.vcpu_milli) == (1769, 1000)
    assert settings.region == "eu-west-1"
    assert settings.payload_max_bytes == 6 * 1024 * 1024
    assert settings.basis == "measured"


def test_each_platform_is_known_by_its_own_variables() -> None:
    assert read_settings(FC).host == "fc"
    assert read_settings(KNATIVE).host == "knative"
    assert read_settings({}).host == "local"


def test_what_is_configured_beats_what_is_detected() -> None:
    assert read_settings({**LAMBDA, **FC}).host == "fc"


@pytest.mark.parametrize(
    ("environ", "variable"),
    [
        ({"FARTHING_PLATFORM": "fc", "FARTHING_MEMORY_MB": "512"}, "FARTHING_VCPU_MILLI"),
        ({"K_SERVICE": "embed", "FARTHING_VCPU_MILLI": "1000"}, "FARTHING_MEMORY_MB"),
        ({**FC, "FARTHING_MEMORY_MB": "plenty"}, "FARTHING_MEMORY_MB"),
        ({**FC, "FARTHING_MEMORY_MB": "-1"}, "FARTHING_MEMORY_MB"),
        ({"FARTHING_MEMORY_MB": "plenty"}, "FARTHING_MEMORY_MB"),
        ({**LAMBDA, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "-1"}, "FARTHING_MEMORY_MB"),
        ({**FC, "FARTHING_ACCESS": "anyone"}, "FARTHING_ACCESS"),
        ({**FC, "FARTHING_ACCESS": "local"}, "FARTHING_ACCESS"),
        ({**FC, "FARTHING_ACCESS": "keys"}, "FARTHING_KEYS"),
        ({"FARTHING_PLATFORM": "mainframe"}, "FARTHING_PLATFORM"),
    ],
)
def test_an_unusable_setting_is_refused_by_name(environ: dict[str, str], variable: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        read_settings(environ)


def test_a_local_price_is_simulated_with_the_chosen_platforms_defaults() -> None:
    settings = read_settings({}, platform="fc")
    assert (settings.host, settings.platform, settings.basis) == ("local", "fc", "simulated")
    assert settings.region == "international"
    assert (settings.access, settings.tenant) == ("local", "local")


def test_keys_on_a_local_server_are_asked_for() -> None:
    assert read_settings({"FARTHING_KEYS": "acme=" + "0" * 64}).access == "keys"


def test_provisioned_concurrency_is_told_by_the_runtime() -> None:
    kind = {"AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency"}
    assert read_settings({**LAMBDA, **kind}).initialization == "provisioned-concurrency"
    assert read_settings(LAMBDA).initialization == "on-demand"


@pytest.mark.parametrize(
    ("environ", "calls", "threads"),
    [
        (LAMBDA, 1, 1),
        ({**LAMBDA, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "3600"}, 1, 2),
        ({**FC, "FARTHING_VCPU_MILLI": "2000"}, 1, 2),
        ({**FC, "FARTHING_VCPU_MILLI": "2000", "FARTHING_CONCURRENCY": "8"}, 2, 1),
        ({**KNATIVE, "FARTHING_VCPU_MILLI": "2000"}, 2, 1),
        ({**KNATIVE, "FARTHING_VCPU_MILLI": "2000", "FARTHING_WORKERS": "1"}, 1, 2),
        ({**KNATIVE, "FARTHING_VCPU_MILLI": "250"}, 1, 1),
    ],
)
def test_threads_come_from_the_vcpu_share(
    environ: dict[str, str], calls: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farthing.settings.usable_cores", lambda: 16)
    settings = read_settings(environ)
    assert (settings.calls_at_once, settings.threads_per_call) == (calls, threads)


def test_a_ledger_makes_servers_spool_unless_told_otherwise() -> None:
    knative = {"FARTHING_PLATFORM": "knative", "FARTHING_MEMORY_MB": "512"}
    knative |= {"FARTHING_VCPU_MILLI": "500"}
    ledger = {"FARTHING_LEDGER": "memory:"}
    assert read_settings(knative).recorder == "line"
    assert read_settings(knative | ledger).recorder == "spool"
    assert read_settings(knative | ledger | {"FARTHING_RECORDER": "line"}).recorder == "line"
    assert read_settings(FC | ledger).recorder == "line"
