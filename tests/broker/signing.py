"""A sign-on of a test's own: keys in files, and JWTs signed with them, right or wrong in any part."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from broker.house import START_MS
from roost_broker.config import JwtConfig

AUDIENCE = "roost"
SECRET = b"a secret of more than thirty-two bytes"

START_S = START_MS // 1000
HOUR_S = 3_600

ED25519 = Ed25519PrivateKey.from_private_bytes(b"e" * 32)
OTHER_ED25519 = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
RSA = generate_private_key(65_537, 2_048)
SMALL_RSA = generate_private_key(65_537, 1_024)  # noqa: S505  # to be refused

Key = Ed25519PrivateKey | RSAPrivateKey | bytes | None


def encoded(data: bytes) -> str:
    """base64url, as JWTs have it."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def claims(**more: Any) -> dict[str, Any]:
    """What lets alice in at the time at which tests begin; None takes a claim away."""
    all_claims = {"sub": "alice", "aud": AUDIENCE, "exp": START_S + HOUR_S, **more}
    return {name: value for name, value in all_claims.items() if value is not None}


def signed(key: Key, payload: Any = None, **header: Any) -> str:
    """A JWT, signed as its key is for, whatever its header says of it."""
    algorithm = {bytes: "HS256", type(None): "none"}.get(type(key), "EdDSA")
    if isinstance(key, RSAPrivateKey):
        algorithm = "RS256"
    head = {"alg": algorithm, "typ": "JWT", **header}
    payload = claims() if payload is None else payload
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    text = f"{encoded(json.dumps(head).encode())}.{encoded(body)}"
    return f"{text}.{encoded(_signature(key, text.encode()))}"


def _signature(key: Key, text: bytes) -> bytes:
    match key:
        case None:
            return b""
        case bytes():
            return hmac.digest(key, text, hashlib.sha256)
        case RSAPrivateKey():
            return key.sign(text, padding.PKCS1v15(), hashes.SHA256())
        case _:
            return key.sign(text)


def public_pem(key: Ed25519PrivateKey | RSAPrivateKey) -> bytes:
    """The public key as a PEM file has it."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def jwk(key: Ed25519PrivateKey | RSAPrivateKey, kid: str | None = None, **more: Any) -> dict[str, Any]:
    """The public key as a key set has it."""
    if isinstance(key, RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        parts = {"n": numbers.n.to_bytes(key.key_size // 8, "big"), "e": numbers.e.to_bytes(3, "big")}
        made: dict[str, Any] = {"kty": "RSA", **{name: encoded(part) for name, part in parts.items()}}
    else:
        raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        made = {"kty": "OKP", "crv": "Ed25519", "x": encoded(raw)}
    return {**made, **({} if kid is None else {"kid": kid}), **more}


def write_secret(folder: Path, secret: bytes = SECRET, mode: int = 0o600) -> str:
    """A file for `jwt.secret`."""
    path = folder / "jwt.secret"
    path.write_bytes(secret + b"\n")
    path.chmod(mode)
    return str(path)


def write_key_set(folder: Path, *keys: dict[str, Any]) -> str:
    """A file for `jwt.key_set`."""
    path = folder / "jwks.json"
    path.write_text(json.dumps({"keys": keys}))
    return str(path)


def write_public_key(folder: Path, key: Ed25519PrivateKey | RSAPrivateKey) -> str:
    """A file for `jwt.public_key`."""
    path = folder / "jwt.pem"
    path.write_bytes(public_pem(key))
    return str(path)


def by_secret(folder: Path, **more: Any) -> JwtConfig:
    """A configuration by which JWTs signed with `SECRET` let people in."""
    return JwtConfig(secret=write_secret(folder), audience=AUDIENCE, **more)
