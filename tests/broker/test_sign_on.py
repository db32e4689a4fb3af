"""JWTs: those that hold say who somebody is, and whatever is wrong with one, nobody gets in with it."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.house import START_MS
from broker.signing import (
    AUDIENCE,
    ED25519,
    HOUR_S,
    OTHER_ED25519,
    RSA,
    SECRET,
    START_S,
    Key,
    by_secret,
    claims,
    encoded,
    jwk,
    public_pem,
    signed,
    write_key_set,
    write_public_key,
    write_secret,
)
from roost_broker.config import ConfigurationError, JwtConfig
from roost_broker.sign_on import JwtRefused, SignedOn, SignOn
from roost_protocol.limits import JWT_BYTES_MAX


def refusal(sign_on: SignOn, token: str, now_ms: int = START_MS) -> str:
    with pytest.raises(JwtRefused) as raised:
        sign_on.check(token, now_ms)
    return str(raised.value)


@pytest.fixture
def sign_on(tmp_path: Path) -> SignOn:
    return SignOn(by_secret(tmp_path))


# --- keys and algorithms ------------------------------------------------------------------------------------------


def test_each_kind_of_key_lets_in_what_it_has_signed(tmp_path: Path) -> None:
    config = JwtConfig(
        secret=write_secret(tmp_path),
        public_key=write_public_key(tmp_path, ED25519),
        key_set=write_key_set(tmp_path, jwk(RSA, "r")),
        audience=AUDIENCE,
    )
    sign_on = SignOn(config)
    for key, header in ((SECRET, {}), (ED25519, {}), (RSA, {"kid": "r"}), (RSA, {}), (ED25519, {"kid": "unknown"})):
        assert sign_on.check(signed(key, **header), START_MS).user == "alice"


def test_what_another_key_has_signed_does_not_hold(tmp_path: Path) -> None:
    sign_on = SignOn(JwtConfig(public_key=write_public_key(tmp_path, ED25519), audience=AUDIENCE))
    assert refusal(sign_on, signed(OTHER_ED25519)) == "its signature is wrong"
    assert "no key here" in refusal(sign_on, signed(RSA))


@pytest.mark.parametrize("kid", ["2", None])
def test_the_kid_chooses_from_a_key_set(tmp_path: Path, kid: str | None) -> None:
    sign_on = SignOn(
        JwtConfig(key_set=write_key_set(tmp_path, jwk(ED25519, "1"), jwk(OTHER_ED25519, "2")), audience=AUDIENCE)
    )
    header = {} if kid is None else {"kid": kid}
    if kid is None:
        assert refusal(sign_on, signed(OTHER_ED25519, **header)) == "it does not say which key it is signed with"
    else:
        assert sign_on.check(signed(OTHER_ED25519, **header), START_MS).user == "alice"
        assert refusal(sign_on, signed(ED25519, **header)) == "its signature is wrong"
    assert refusal(sign_on, signed(ED25519, kid="3")) == "its key is not known here"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "HS512", "RS512", "ES256", "PS256", "", "hs256"])
def test_a_token_chooses_no_algorithm(tmp_path: Path, algorithm: str) -> None:
    """RFC 8725, 3.1. The signature is right for the key, or there is none; the header says otherwise."""
    for key in (SECRET, None):
        for folder_key in (
            by_secret(tmp_path),
            JwtConfig(public_key=write_public_key(tmp_path, RSA), audience=AUDIENCE),
        ):
            assert "no key here" in refusal(SignOn(folder_key), signed(key, alg=algorithm))


@pytest.mark.parametrize("key", [RSA, ED25519], ids=["RSA", "Ed25519"])
def test_a_public_key_is_never_taken_for_a_secret(tmp_path: Path, key: Any) -> None:
    """Algorithm confusion: everybody has the public key, and could sign with it as if it were a secret of both."""
    config = JwtConfig(public_key=write_public_key(tmp_path, key), audience=AUDIENCE)
    forged = signed(public_pem(key))
    assert "no key here" in refusal(SignOn(config), forged)
    both = JwtConfig(public_key=config.public_key, secret=write_secret(tmp_path), audience=AUDIENCE)
    assert refusal(SignOn(both), forged) == "its signature is wrong"
    set_too = JwtConfig(key_set=write_key_set(tmp_path, jwk(key, "k")), secret=both.secret, audience=AUDIENCE)
    assert refusal(SignOn(set_too), signed(public_pem(key), kid="k")) == "its signature is wrong"


@pytest.mark.parametrize("header", [{"crit": ["exp"]}, {"crit": []}, {"b64": False}, {"b64": True}])
def test_an_extension_that_is_not_understood_is_not_accepted(sign_on: SignOn, header: dict[str, Any]) -> None:
    """RFC 7515, 4.1.11; RFC 7797."""
    assert refusal(sign_on, signed(SECRET, **header)) == "its header asks for an extension"


def test_keys_that_a_token_brings_along_count_for_nothing(tmp_path: Path) -> None:
    sign_on = SignOn(JwtConfig(public_key=write_public_key(tmp_path, ED25519), audience=AUDIENCE))
    forged = signed(OTHER_ED25519, jwk=jwk(OTHER_ED25519), jku="https://attacker.example/jwks.json", x5c=["AA"])
    assert refusal(sign_on, forged) == "its signature is wrong"
    assert sign_on.check(signed(ED25519, jku="https://elsewhere.example/"), START_MS).user == "alice"


@pytest.mark.parametrize(
    "token",
    [
        "", ".", "..", "...", "a.b", "a.b.c", "a.b.c.d", "é.b.c", "e30.e30.e30", "bnVsbA.e30.", "W10.e30.",
        "x" * (JWT_BYTES_MAX + 1),
    ],
)  # fmt: skip
def test_what_is_no_jwt(sign_on: SignOn, token: str) -> None:
    assert refusal(sign_on, token)


def test_deep_nesting_is_an_error_like_any_other(sign_on: SignOn) -> None:
    deep = "[" * 5_000
    for head in (deep, '{"alg":"HS256","x":' + deep, '{"alg":"HS256","kid":' + deep, '{"a":' * 900):
        assert refusal(sign_on, f"{encoded(head.encode())}.e30.AA")
    assert refusal(sign_on, signed(SECRET, deep[:4_000].encode())) == "its claims are no JSON"


@pytest.mark.parametrize("payload", [b"", b"7", b"[]", b"null", b"\xff", b'"sub"', b"{"])
def test_claims_that_are_no_object(sign_on: SignOn, payload: bytes) -> None:
    assert "claims are no JSON" in refusal(sign_on, signed(SECRET, payload))


@given(st.data())
def test_no_changed_byte_goes_unseen(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    sign_on = SignOn(by_secret(tmp_path_factory.getbasetemp()))
    token = signed(SECRET)
    at = data.draw(st.integers(0, len(token) - 1))
    char = data.draw(st.sampled_from("ABCXYZabcxyz0189-_.="))
    changed = token[:at] + char + token[at + 1 :]
    try:
        sign_on.check(changed, START_MS)
    except JwtRefused:
        return
    assert _bytes_of(changed) == _bytes_of(token)


def _bytes_of(token: str) -> list[bytes]:
    """What the parts stand for: the last bits of the last character of base64 may stand for nothing."""
    return [base64.urlsafe_b64decode(part + "==") for part in token.split(".")]


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_no_bytes_do_anything_but_get_refused(tmp_path_factory: pytest.TempPathFactory, junk: bytes) -> None:
    sign_on = SignOn(by_secret(tmp_path_factory.getbasetemp()))
    refusal(sign_on, junk.decode("latin-1"))
    refusal(sign_on, f"{encoded(junk)}.{encoded(junk)}.{encoded(junk)}")
    try:
        sign_on.check(signed(SECRET, junk), START_MS)
    except JwtRefused:
        pass


@given(
    st.dictionaries(
        st.sampled_from(["sub", "aud", "exp", "nbf", "iat", "iss"]),
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.lists(st.text()),
    )
)
def test_whatever_an_issuer_claims_ends_in_a_user_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, claimed: dict[str, Any]
) -> None:
    sign_on = SignOn(by_secret(tmp_path_factory.getbasetemp()))
    try:
        signed_on = sign_on.check(signed(SECRET, {**claims(), **claimed}), START_MS)
    except JwtRefused:
        return
    assert isinstance(signed_on, SignedOn)
    assert signed_on.user
    assert signed_on.expires_ms > START_MS


# --- claims -------------------------------------------------------------------------------------------------------


def test_what_holds(sign_on: SignOn) -> None:
    assert sign_on.check(signed(SECRET), START_MS) == SignedOn("alice", START_MS + (HOUR_S + 30) * 1000, None)


@pytest.mark.parametrize(
    ("claimed", "why"),
    [
        ({"exp": None}, "it never expires"),
        ({"exp": "2040-01-01"}, "its claim 'exp' is no date"),
        ({"exp": True}, "its claim 'exp' is no date"),
        ({"exp": [START_S + 1]}, "its claim 'exp' is no date"),
        ({"exp": START_S - 30}, "it has expired"),
        ({"exp": -1}, "it has expired"),
        ({"nbf": START_S + 31}, "it is not valid yet"),
        ({"iat": START_S + 31}, "it is not valid yet"),
        ({"nbf": "soon"}, "its claim 'nbf' is no date"),
        ({"aud": None}, "it is for another audience"),
        ({"aud": "other"}, "it is for another audience"),
        ({"aud": ["other", "another"]}, "it is for another audience"),
        ({"aud": []}, "it is for another audience"),
        ({"aud": {"roost": 1}}, "it is for another audience"),
        ({"aud": "roost-staging"}, "it is for another audience"),
        ({"sub": None}, "it has no claim 'sub' that names a user"),
        ({"sub": ""}, "it has no claim 'sub' that names a user"),
        ({"sub": 7}, "it has no claim 'sub' that names a user"),
        ({"sub": ["alice"]}, "it has no claim 'sub' that names a user"),
    ],
)
def test_what_does_not(sign_on: SignOn, claimed: dict[str, Any], why: str) -> None:
    assert refusal(sign_on, signed(SECRET, claims(**claimed))) == why


@pytest.mark.parametrize(
    "claimed",
    [
        {"exp": START_S - 29},
        {"exp": START_S + 0.5},
        {"exp": 1e300},
        {"nbf": START_S + 30, "iat": START_S + 30},
        {"nbf": START_S - HOUR_S},
        {"aud": ["other", AUDIENCE]},
        {"iss": "whoever"},
        {"extra": {"deep": [1, 2]}},
    ],
)
def test_what_does_just_so(sign_on: SignOn, claimed: dict[str, Any]) -> None:
    assert sign_on.check(signed(SECRET, claims(**claimed)), START_MS).user == "alice"


def test_the_leeway_may_be_none(tmp_path: Path) -> None:
    sign_on = SignOn(by_secret(tmp_path, leeway_s=0))
    token = signed(SECRET, claims(exp=START_S + 10, nbf=START_S))
    assert sign_on.check(token, START_MS + 9_999).expires_ms == START_MS + 10_000
    assert refusal(sign_on, token, START_MS + 10_000) == "it has expired"
    assert refusal(sign_on, token, START_MS - 1) == "it is not valid yet"


def test_the_issuer_if_one_is_asked_for(tmp_path: Path) -> None:
    sign_on = SignOn(by_secret(tmp_path, issuer="https://id.example"))
    assert sign_on.check(signed(SECRET, claims(iss="https://id.example")), START_MS).user == "alice"
    for other in ("https://id.example/", None, ["https://id.example"]):
        assert refusal(sign_on, signed(SECRET, claims(iss=other))) == "it is of another issuer"


def test_the_user_is_in_the_claim_that_is_configured(tmp_path: Path) -> None:
    sign_on = SignOn(by_secret(tmp_path, user_claim="preferred_username"))
    assert sign_on.check(signed(SECRET, claims(sub="1f3a", preferred_username="bob")), START_MS).user == "bob"
    assert "'preferred_username'" in refusal(sign_on, signed(SECRET))


def test_terminal_types(tmp_path: Path) -> None:
    sign_on = SignOn(by_secret(tmp_path, terminals_claim="terminals"))

    def terminals(**claimed: Any) -> frozenset[str] | None:
        return sign_on.check(signed(SECRET, claims(**claimed)), START_MS).terminals

    assert terminals() is None
    assert terminals(terminals="web") == frozenset({"web"})
    assert terminals(terminals=["web", "phone"]) == frozenset({"web", "phone"})
    assert terminals(terminals=[]) == frozenset()
    for odd in (7, [7], {"web": True}):
        assert "no list of terminal types" in refusal(sign_on, signed(SECRET, claims(terminals=odd)))


# --- reload -------------------------------------------------------------------------------------------------------


def test_keys_are_read_again(tmp_path: Path) -> None:
    config = JwtConfig(key_set=write_key_set(tmp_path, jwk(ED25519, "1")), audience=AUDIENCE)
    sign_on = SignOn(config)
    old, new = signed(ED25519, kid="1"), signed(OTHER_ED25519, kid="2")
    write_key_set(tmp_path, jwk(OTHER_ED25519, "2"))
    adopt = sign_on.read()
    assert sign_on.check(old, START_MS).user == "alice"
    adopt()
    assert sign_on.check(new, START_MS).user == "alice"
    assert refusal(sign_on, old) == "its key is not known here"


def test_keys_that_cannot_be_read_change_nothing(tmp_path: Path) -> None:
    sign_on = SignOn(by_secret(tmp_path))
    write_secret(tmp_path, b"short")
    with pytest.raises(ConfigurationError, match="it has 5 bytes"):
        sign_on.read()
    assert sign_on.check(signed(SECRET), START_MS).user == "alice"


@pytest.mark.parametrize("key", [SECRET, ED25519, RSA], ids=["HS256", "EdDSA", "RS256"])
def test_a_refusal_says_nothing_of_what_is_in_a_token(tmp_path: Path, key: Key) -> None:
    config = JwtConfig(
        secret=write_secret(tmp_path), key_set=write_key_set(tmp_path, jwk(RSA), jwk(ED25519)), audience=AUDIENCE
    )
    token = signed(key, claims(aud="canary"), kid="canary")
    assert "canary" not in refusal(SignOn(config), token)
    assert "canary" in json.dumps(claims(aud="canary"))
