"""Keys are known by hash only."""

import pytest

from farthing.errors import SettingsError, Unauthorized
from farthing.serving.keys import KeyRing, new_key


def test_a_new_key_opens_its_tenant_and_its_entry_does_not_hold_it() -> None:
    key, entry = new_key("acme")
    assert key not in entry
    assert KeyRing([entry]).tenant(f"Bearer {key}") == "acme"


def test_a_tenant_may_have_two_keys_while_it_rotates() -> None:
    (old, old_entry), (new, new_entry) = new_key("acme"), new_key("acme")
    ring = KeyRing([old_entry, new_entry])
    assert ring.tenant(f"Bearer {old}") == ring.tenant(f"bearer {new}") == "acme"


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", "Basic abc", "Bearer \ud800"]
)
def test_any_other_header_is_refused(header: str | None) -> None:
    _, entry = new_key("acme")
    with pytest.raises(Unauthorized, match="Authorization: Bearer") as refused:
        KeyRing([entry]).tenant(header)
    assert refused.value.headers == {"www-authenticate": "Bearer"}


@pytest.mark.parametrize(
    "entry", ["sekret", "acme=short", "house=" + "0" * 64, "=" + "0" * 64, "ACME=" + "0" * 64]
)
def test_an_unusable_entry_is_refused_without_repeating_it(entry: str) -> None:
    with pytest.raises(SettingsError, match="Entry 1 of FARTHING_KEYS") as refused:
        KeyRing([entry])
    assert entry not in str(refused.value)
