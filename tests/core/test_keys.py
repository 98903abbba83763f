"""Signed keys: any JWT library reads them, none but ours are let in."""

import base64
import json

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.errors import Forbidden, SettingsError, Unauthorized
from farthing.serving.keys import KeyRing, new_claims, new_entry

ENTRY = new_entry()
RING = KeyRing([ENTRY])
# Made before the first of all tests, of which some take long.
KEY_S = 30 * 24 * 3600
KEY = RING.sign(new_claims("acme", KEY_S, scope="classify usage", plan="shop", rpm=60))


def secret_of(entry: str) -> bytes:
    return base64.urlsafe_b64decode(entry.partition("=")[2] + "=")


def token(claims: object, secret: bytes, **header: str) -> str:
    kid = ENTRY.partition("=")[0]
    return "fk-" + jwt.encode(claims, secret, algorithm="HS256", headers={"kid": kid, **header})


def claims_of(**changed: object) -> dict[str, object]:
    return {"jti": "1", "sub": "acme", "iat": 0, "exp": 4_000_000_000, **changed}


def test_a_key_is_a_token_that_another_library_verifies() -> None:
    read = jwt.decode(KEY.removeprefix("fk-"), secret_of(ENTRY), algorithms=["HS256"])
    assert read["sub"] == "acme"
    assert read["scope"] == "classify usage"
    assert read["plan"] == "shop"
    assert read["rpm"] == 60
    assert read["exp"] - read["iat"] == KEY_S


def test_a_token_that_another_library_signed_is_read() -> None:
    claims = RING.caller(f"Bearer {token(claims_of(), secret_of(ENTRY))}")
    assert (claims.sub, claims.scope) == ("acme", "*")


def test_secrets_rotate_while_old_keys_go_on() -> None:
    newer = new_entry()
    both = KeyRing([newer, ENTRY])
    assert both.caller(f"Bearer {KEY}").sub == both.caller(f"bearer {KEY}").sub == "acme"
    fresh = both.sign(new_claims("bolt", 3600))
    assert KeyRing([newer]).caller(f"Bearer {fresh}").sub == "bolt"
    with pytest.raises(Unauthorized):
        KeyRing([newer]).caller(f"Bearer {KEY}")


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer wrong", "Basic {key}", "{key}", "Bearer {key}x", "Bearer \ud800",
     "Bearer {key}.{key}", "Bearer " + "a" * 10_000, "Bearer fk-..", "Bearer {key}="],
)  # fmt: skip
def test_any_other_header_is_refused(header: str | None) -> None:
    with pytest.raises(Unauthorized, match="Authorization: Bearer") as refused:
        RING.caller(None if header is None else header.replace("{key}", KEY))
    assert refused.value.headers == {"www-authenticate": "Bearer"}
    assert KEY not in str(refused.value)


@pytest.mark.parametrize(
    "forged",
    [
        token(claims_of(), b"0" * 32),
        token(claims_of(), secret_of(ENTRY), kid="other"),
        token(claims_of(sub="house"), secret_of(ENTRY)),
        token(claims_of(sub="../acme"), secret_of(ENTRY)),
        token(claims_of(exp="never"), secret_of(ENTRY)),
        token({"sub": "acme"}, secret_of(ENTRY)),
        token(claims_of(), secret_of(ENTRY)).removeprefix("fk-"),
    ],
)
def test_a_forged_key_is_refused(forged: str) -> None:
    with pytest.raises(Unauthorized):
        RING.caller(f"Bearer {forged}")


def test_a_token_without_a_signature_is_refused() -> None:
    header = {"alg": "none", "kid": ENTRY.partition("=")[0], "typ": "JWT"}
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in (header, claims_of())
    ]
    with pytest.raises(Unauthorized):
        RING.caller(f"Bearer fk-{parts[0]}.{parts[1]}.")


@given(st.integers(0, len(KEY) - 1), st.characters(codec="ascii", categories=["L", "N"]))
def test_a_key_with_one_character_changed_is_refused(at: int, character: str) -> None:
    changed = KEY[:at] + character + KEY[at + 1 :]
    if changed != KEY:
        with pytest.raises(Unauthorized):
            RING.caller(f"Bearer {changed}")


def test_an_expired_key_says_so_even_if_it_was_seen_before() -> None:
    now_s = [1000.0]
    ring = KeyRing([ENTRY], clock_s=lambda: now_s[0])
    key = token(claims_of(exp=2000), secret_of(ENTRY))
    assert ring.caller(f"Bearer {key}").sub == "acme"
    now_s[0] = 2000.0
    with pytest.raises(Unauthorized, match="has expired"):
        ring.caller(f"Bearer {key}")


def test_a_revoked_key_says_so() -> None:
    claims = new_claims("acme", 3600)
    ring = KeyRing([ENTRY], revoked_ids=[claims.jti])
    with pytest.raises(Unauthorized, match="was revoked"):
        ring.caller(f"Bearer {ring.sign(claims)}")


def test_a_key_reaches_its_scopes_only() -> None:
    claims = RING.caller(f"Bearer {KEY}")
    claims.require("classify")
    with pytest.raises(Forbidden, match="needs the scope embed; the key has classify usage"):
        claims.require("embed")
    new_claims("acme", 3600).require("embed")


@pytest.mark.parametrize("entry", ["sekret", "k1=short", "K1=" + "a" * 43, "=" + "a" * 43, "k1="])
def test_an_unusable_entry_is_refused_without_repeating_it(entry: str) -> None:
    with pytest.raises(SettingsError, match="Entry 1 of FARTHING_KEYS") as refused:
        KeyRing([entry])
    assert entry not in str(refused.value)


def test_two_secrets_of_one_name_are_refused() -> None:
    with pytest.raises(SettingsError, match="Entry 2"):
        KeyRing([ENTRY, ENTRY])


@pytest.mark.parametrize("tenant", ["", "house", "Acme", "a/b", "a" * 64, "-a", "a\n"])
def test_a_tenant_needs_a_plain_name(tenant: str) -> None:
    with pytest.raises(SettingsError, match="tenant's name"):
        new_claims(tenant, 3600)


def test_nothing_is_signed_without_a_secret() -> None:
    with pytest.raises(SettingsError, match="farthing keys init"):
        KeyRing([]).sign(new_claims("acme", 3600))
