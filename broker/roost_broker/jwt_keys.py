"""The keys that JWTs are verified with: read from files when the broker starts and when its configuration is reloaded.

Each key is bound to one algorithm by what it is, and not by what a token says: a secret to HS256, an Ed25519 key to
EdDSA, an RSA key to RS256. So no token can have a public key taken for a secret, nor choose to have no signature at
all (RFC 8725, 3.1).
"""

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from roost_broker.config import ConfigurationError, JwtConfig
from roost_protocol.limits import KIB

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

ALGORITHMS = ("HS256", "EdDSA", "RS256")
"""What is verified at all."""

SECRET_BYTES_LEAST = 32
"""RFC 7518, 3.2: as many as the hash has. A shorter one can be guessed from a single token."""

SECRET_BYTES_MOST = 4 * KIB

RSA_BITS = range(2_048, 8_192 + 1)
"""RFC 7518, 3.3 has the least; a larger key than the most only costs time."""

FILE_BYTES_MAX = 256 * KIB
KEYS_MAX = 64
"""Keys in a key set: issuers have two or three, and each is tried by nobody but the tokens that name it."""

_OTHERS = 0o077
"""The permissions of everybody but the owner."""


class JwtKey(NamedTuple):
    """A key, the one algorithm that it is for, and the id by which a token names it."""

    algorithm: str
    material: Any
    """As PyJWT takes it: the bytes of a secret, or a public key of `cryptography`."""
    id: str | None = None


class _Jwk(msgspec.Struct, frozen=True):
    """A key of a set (RFC 7517, 4), as far as it matters here."""

    kty: str
    kid: str | None = None
    use: str | None = None
    alg: str | None = None
    crv: str | None = None
    d: Any = None


class _Jwks(msgspec.Struct, frozen=True):
    keys: tuple[msgspec.Raw, ...]


def read_keys(config: JwtConfig) -> tuple[JwtKey, ...]:
    """Every key that is configured, at least one. Raises ConfigurationError."""
    keys: list[JwtKey] = []
    if config.secret:
        keys.append(_read_secret(config.secret))
    if config.public_key:
        keys.append(_read_public_key(config.public_key))
    if config.key_set:
        keys += _read_key_set(config.key_set)
    return tuple(keys)


def _read_secret(path: str) -> JwtKey:
    mode = _mode(path)
    if mode & _OTHERS:
        raise _unfit("secret", path, f"others may use it (mode {mode:04o}): make it 0600")
    secret = _content("secret", path).removesuffix(b"\n").removesuffix(b"\r")
    if not SECRET_BYTES_LEAST <= len(secret) <= SECRET_BYTES_MOST:
        allowed = f"{SECRET_BYTES_LEAST} to {SECRET_BYTES_MOST}"
        raise _unfit("secret", path, f"it has {len(secret)} bytes, allowed are {allowed}")
    if b"-----BEGIN" in secret or secret.startswith((b"ssh-", b"ecdsa-")):
        raise _unfit("secret", path, "it is a key of another kind, not a secret that both sides know")
    return JwtKey("HS256", secret)


def _read_public_key(path: str) -> JwtKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(_content("public_key", path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _unfit("public_key", path, "it is no PEM file of a public key") from error
    return JwtKey(_algorithm("public_key", path, key), key)


def _read_key_set(path: str) -> list[JwtKey]:
    try:
        key_set = msgspec.json.decode(_content("key_set", path), type=_Jwks)
        read = [(msgspec.json.decode(raw, type=_Jwk), msgspec.json.decode(raw)) for raw in key_set.keys]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _unfit("key_set", path, f"it is no JSON Web Key Set: {error}") from error
    if len(read) > KEYS_MAX:
        raise _unfit("key_set", path, f"it has {len(read)} keys, allowed are {KEYS_MAX}")
    keys = [key for jwk, whole in read if (key := _of_set(path, jwk, whole)) is not None]
    if not keys:
        raise _unfit("key_set", path, "it has no key for EdDSA (Ed25519) or RS256 (RSA)")
    ids = [key.id for key in keys if key.id is not None]
    if twice := {each for each in ids if ids.count(each) > 1}:
        raise _unfit("key_set", path, f"several keys have the kid {min(twice)!r}")
    return keys


def _of_set(path: str, jwk: _Jwk, whole: Any) -> JwtKey | None:
    """The key, None if it is one for something else (RFC 7517, 5). Raises ConfigurationError."""
    from jwt.algorithms import OKPAlgorithm, RSAAlgorithm
    from jwt.exceptions import PyJWTError

    name = f"the key with the kid {jwk.kid!r}"
    if jwk.kty == "oct" or jwk.d is not None:
        raise _unfit("key_set", path, f"{name} is a secret: a key set has public keys, and is no place for one")
    rsa = jwk.kty == "RSA" and jwk.alg in (None, "RS256")
    ed25519 = jwk.kty == "OKP" and jwk.crv == "Ed25519" and jwk.alg in (None, "EdDSA")
    if jwk.use not in (None, "sig") or not (rsa or ed25519):
        return None
    try:
        key: Any = RSAAlgorithm.from_jwk(whole) if rsa else OKPAlgorithm.from_jwk(whole)
    except (PyJWTError, ValueError, TypeError, KeyError) as error:
        raise _unfit("key_set", path, f"{name} cannot be read: {error}") from error
    return JwtKey(_algorithm("key_set", path, key), key, jwk.kid)


def _algorithm(what: str, path: str, key: "PublicKeyTypes") -> str:
    """The one that a public key is for. Raises ConfigurationError."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    if isinstance(key, Ed25519PublicKey):
        return "EdDSA"
    if not isinstance(key, RSAPublicKey):
        raise _unfit(what, path, "it is neither an Ed25519 nor an RSA key")
    if key.key_size not in RSA_BITS:
        allowed = f"{RSA_BITS.start} to {RSA_BITS.stop - 1}"
        raise _unfit(what, path, f"it has an RSA key of {key.key_size} bits, allowed are {allowed}")
    return "RS256"


def _mode(path: str) -> int:
    try:
        return stat.S_IMODE(Path(path).stat().st_mode)
    except (OSError, ValueError) as error:
        raise _unfit("secret", path, _why(error)) from error


def _content(what: str, path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        raise _unfit(what, path, _why(error)) from error
    if len(content) > FILE_BYTES_MAX:
        raise _unfit(what, path, f"it has more than {FILE_BYTES_MAX} bytes")
    return content


def _why(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _unfit(what: str, path: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"jwt.{what} = {path}: {why}")
