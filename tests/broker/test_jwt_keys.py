"""Keys of JWTs: each is bound to one algorithm by what it is, and what cannot be used is said."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from broker.signing import (
    ED25519,
    OTHER_ED25519,
    RSA,
    SECRET,
    SMALL_RSA,
    jwk,
    write_key_set,
    write_public_key,
    write_secret,
)
from roost_broker.config import ConfigurationError, JwtConfig
from roost_broker.jwt_keys import FILE_BYTES_MAX, KEYS_MAX, SECRET_BYTES_MOST, read_keys


def read(**files: Any) -> list[tuple[str, str | None]]:
    return [(key.algorithm, key.id) for key in read_keys(JwtConfig(audience="a", **files))]


def test_each_kind_of_key_has_its_algorithm(tmp_path: Path) -> None:
    assert read(secret=write_secret(tmp_path)) == [("HS256", None)]
    assert read(public_key=write_public_key(tmp_path, ED25519)) == [("EdDSA", None)]
    assert read(public_key=write_public_key(tmp_path, RSA)) == [("RS256", None)]
    both = write_key_set(tmp_path, jwk(RSA, "r", use="sig", alg="RS256"), jwk(ED25519, "e"))
    assert read(key_set=both, secret=write_secret(tmp_path)) == [("HS256", None), ("RS256", "r"), ("EdDSA", "e")]


def test_a_line_break_at_the_end_is_no_part_of_the_secret(tmp_path: Path) -> None:
    for ending in (b"", b"\n", b"\r\n"):
        (tmp_path / "s").write_bytes(SECRET + ending)
        (tmp_path / "s").chmod(0o400)
        assert read_keys(JwtConfig(secret=str(tmp_path / "s"), audience="a"))[0].material == SECRET
        (tmp_path / "s").unlink()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o601])
def test_a_secret_that_others_may_use_is_none(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"jwt.secret = .*others may use it \(mode 0{mode:o}\): make it 0600"):
        read(secret=write_secret(tmp_path, mode=mode))


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        (b"x" * 31, "it has 31 bytes, allowed are 32 to 4096"),
        (b"", "it has 0 bytes"),
        (b"x" * (SECRET_BYTES_MOST + 1), "it has 4097 bytes"),
        (b"-----BEGIN PUBLIC KEY-----\n" + b"x" * 40, "a key of another kind"),
        (b"ssh-ed25519 " + b"x" * 40, "a key of another kind"),
    ],
)
def test_an_unfit_secret(tmp_path: Path, secret: bytes, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as raised:
        read(secret=write_secret(tmp_path, secret))
    assert not secret or secret.decode() not in str(raised.value)


def private_pem() -> bytes:
    return ED25519.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def elliptic_pem() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"hello", "no PEM file of a public key"),
        (private_pem(), "no PEM file of a public key"),
        (elliptic_pem(), "neither an Ed25519 nor an RSA key"),
        (b"x" * (FILE_BYTES_MAX + 1), "more than 262144 bytes"),
    ],
)
def test_an_unfit_public_key(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=f"^jwt.public_key = {re.escape(str(path))}: .*{why}"):
        read(public_key=str(path))


def test_a_small_rsa_key_is_too_weak(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="RSA key of 1024 bits, allowed are 2048 to 8192"):
        read(public_key=write_public_key(tmp_path, SMALL_RSA))
    with pytest.raises(ConfigurationError, match="RSA key of 1024 bits"):
        read(key_set=write_key_set(tmp_path, jwk(SMALL_RSA)))


def test_keys_of_a_set_that_are_for_something_else_are_passed_over(tmp_path: Path) -> None:
    others: list[dict[str, Any]] = [
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "new"},
        {"kty": "OKP", "crv": "X25519", "x": "AA"},
        jwk(RSA, "enc", use="enc"),
        jwk(RSA, "ps", alg="PS256"),
        jwk(RSA, "hs", alg="HS256"),
        jwk(ED25519, "odd", alg="RS256"),
    ]
    assert read(key_set=write_key_set(tmp_path, *others, jwk(OTHER_ED25519, "e"))) == [("EdDSA", "e")]
    with pytest.raises(ConfigurationError, match="no key for EdDSA"):
        read(key_set=write_key_set(tmp_path, *others))


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ([], "no key for EdDSA"),
        ([{"kty": "oct", "k": "c2VjcmV0", "kid": "s"}], "'s' is a secret: a key set has public keys"),
        ([jwk(ED25519, "p", d="AA")], "'p' is a secret"),
        ([jwk(ED25519, "same"), jwk(OTHER_ED25519, "same")], "several keys have the kid 'same'"),
        ([{"kty": "RSA", "kid": "r"}], "'r' cannot be read"),
        ([jwk(ED25519, "x") | {"x": "AA"}], "'x' cannot be read"),
        ([jwk(ED25519, str(n)) for n in range(KEYS_MAX + 1)], "it has 65 keys, allowed are 64"),
        ([{"kid": "no type"}], "no JSON Web Key Set"),
        ([7], "no JSON Web Key Set"),
    ],
)
def test_an_unfit_key_set(tmp_path: Path, keys: list[dict[str, Any]], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        read(key_set=write_key_set(tmp_path, *keys))


@pytest.mark.parametrize("content", ["", "[]", '{"keys": 7}', "{", '{"keys": [' + "[" * 5_000, "\xff"])
def test_what_is_no_key_set(tmp_path: Path, content: str) -> None:
    path = tmp_path / "set.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigurationError, match="no JSON Web Key Set"):
        read(key_set=str(path))


@pytest.mark.parametrize("what", ["secret", "public_key", "key_set"])
def test_a_file_that_is_not_there(tmp_path: Path, what: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^jwt.{what} = .*/none: No such file"):
        read(**{what: str(tmp_path / "none")})
    with pytest.raises(ConfigurationError, match=rf"^jwt.{what} = .*: .*null"):
        read(**{what: str(tmp_path / "\0")})


def test_no_private_part_of_a_key_set_is_ever_in_the_error(tmp_path: Path) -> None:
    key_set = write_key_set(tmp_path, {"kty": "oct", "k": "canary", "kid": "s"})
    with pytest.raises(ConfigurationError) as raised:
        read(key_set=key_set)
    assert "canary" not in str(raised.value)
    assert "canary" in json.dumps(json.loads(Path(key_set).read_text()))
