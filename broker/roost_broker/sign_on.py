"""Log-in with a JWT (RFC 7519) that the site's own sign-on has issued: whom it names, and whether it holds now.

The signature comes first, and is PyJWT's business; what the claims say is looked at after it, against the broker's own
clock. What a token says of how it is to be verified counts for nothing but the choice of a key (see `jwt_keys`), and
nothing that it points at is ever fetched.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from roost_broker.config import JwtConfig
from roost_broker.jwt_keys import ALGORITHMS, JwtKey, read_keys
from roost_protocol.limits import JWT_BYTES_MAX


class JwtRefused(Exception):
    """The JWT lets nobody in; the message says why, and holds nothing of it."""


class SignedOn(NamedTuple):
    """What a JWT says that holds."""

    user: str
    expires_ms: int
    """Unix time, the leeway included."""
    terminals: frozenset[str] | None
    """The terminal types it is for; None: all of them."""


class _Header(msgspec.Struct, frozen=True):
    """What of a header (RFC 7515, 4.1) is looked at."""

    alg: str
    kid: str | None = None
    crit: Any = None
    b64: Any = None


class SignOn:
    """Verifies JWTs. Raises ConfigurationError if the keys cannot be read."""

    def __init__(self, config: JwtConfig) -> None:
        from jwt import PyJWS  # with `cryptography`, 60 ms that nobody without sign-on has to wait for

        self._config = config
        self._keys = read_keys(config)
        self._signatures = PyJWS(algorithms=list(ALGORITHMS))

    def read(self) -> Callable[[], None]:
        """Read the keys again; what is returned puts them in force. Raises ConfigurationError."""
        keys = read_keys(self._config)

        def adopt() -> None:
            self._keys = keys

        return adopt

    def check(self, token: str, now_ms: int) -> SignedOn:
        """What the JWT says at `now_ms` (Unix time). Raises JwtRefused. To be called in a thread: RSA takes 0.1 ms."""
        claims = self._claims(token)
        expires_ms = self._expires_ms(claims, now_ms)
        audience = claims.get("aud")
        if self._config.audience not in (audience if isinstance(audience, list) else [audience]):
            raise JwtRefused("it is for another audience")
        if self._config.issuer and claims.get("iss") != self._config.issuer:
            raise JwtRefused("it is of another issuer")
        user = claims.get(self._config.user_claim)
        if not isinstance(user, str) or not user:
            raise JwtRefused(f"it has no claim {self._config.user_claim!r} that names a user")
        return SignedOn(user, expires_ms, self._terminals(claims))

    def _claims(self, token: str) -> dict[str, Any]:
        """What was signed. Raises JwtRefused."""
        import jwt

        if len(token) > JWT_BYTES_MAX or not token.isascii():
            raise JwtRefused("it is no JWT")
        key = self._key(_header(token))
        try:
            payload = self._signatures.decode_complete(token, key.material, algorithms=[key.algorithm])["payload"]
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise JwtRefused("its signature is wrong") from error
        try:
            claims = msgspec.json.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise JwtRefused("its claims are no JSON") from error
        if not isinstance(claims, dict):
            raise JwtRefused("its claims are no JSON object")
        return claims

    def _key(self, header: _Header) -> JwtKey:
        """The one key that may have signed a JWT with this header. Raises JwtRefused."""
        if header.crit is not None or header.b64 is not None:
            raise JwtRefused("its header asks for an extension")  # RFC 7515, 4.1.11: not understood, so not accepted
        fitting = [key for key in self._keys if key.algorithm == header.alg]
        if not fitting:
            raise JwtRefused("it is signed with an algorithm for which there is no key here")
        if header.kid is not None:  # a key from a file of its own has no id, and is any
            fitting = [key for key in fitting if key.id == header.kid] or [key for key in fitting if key.id is None]
        if len(fitting) != 1:
            raise JwtRefused(
                "its key is not known here" if not fitting else "it does not say which key it is signed with"
            )
        return fitting[0]

    def _expires_ms(self, claims: dict[str, Any], now_ms: int) -> int:
        """When it ends (Unix time), the leeway included. Raises JwtRefused: it has ended, or has not begun."""
        leeway_ms = self._config.leeway_s * 1000
        expires_ms = _date_ms(claims, "exp")
        if expires_ms is None:
            raise JwtRefused("it never expires")
        if now_ms >= expires_ms + leeway_ms:
            raise JwtRefused("it has expired")
        for claim in ("nbf", "iat"):
            begins_ms = _date_ms(claims, claim)
            if begins_ms is not None and now_ms < begins_ms - leeway_ms:
                raise JwtRefused("it is not valid yet")
        return expires_ms + leeway_ms

    def _terminals(self, claims: dict[str, Any]) -> frozenset[str] | None:
        name = self._config.terminals_claim
        terminals = claims.get(name) if name else None
        if terminals is None:
            return None
        some = [terminals] if isinstance(terminals, str) else terminals
        if not isinstance(some, list) or not all(isinstance(each, str) for each in some):
            raise JwtRefused(f"its claim {name!r} is no list of terminal types")
        return frozenset(some)


def _header(token: str) -> _Header:
    """Raises JwtRefused."""
    from jwt.utils import base64url_decode

    head, *rest = token.split(".")
    if len(rest) != 2:
        raise JwtRefused("it is no JWT")
    try:
        return msgspec.json.decode(base64url_decode(head), type=_Header)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise JwtRefused("its header is not that of a JWT") from error


def _date_ms(claims: dict[str, Any], claim: str) -> int | None:
    """A NumericDate (RFC 7519, 2) in ms; None if there is none. Raises JwtRefused."""
    date = claims.get(claim)
    if date is None:
        return None
    if isinstance(date, bool) or not isinstance(date, int | float) or not math.isfinite(date):
        raise JwtRefused(f"its claim {claim!r} is no date")
    return int(date * 1000)
