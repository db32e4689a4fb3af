"""Who somebody is by the word of others: the authority that signed his certificate, or the site's own sign-on.

**Invariant:** whoever shows a certificate that names a user is that user, whatever else he shows: on such a connection
nobody logs in as another.
"""

import logging
from typing import TYPE_CHECKING, NamedTuple

from roost_broker.config import USER_SIGN, TlsConfig
from roost_broker.sign_on import JwtRefused, SignedOn
from roost_broker.store.operations import CreateUser, UserCreated
from roost_broker.store.readings import Account
from roost_broker.transport import PeerCertificate
from roost_protocol.frames import Connect
from roost_protocol.reasons import Reason

if TYPE_CHECKING:
    from roost_broker.core import Core


_log = logging.getLogger(__name__)


class NotVouched(Exception):
    """The log-in ends here, for this reason."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Vouched(NamedTuple):
    """The account of a user who is known without a password."""

    account: Account
    ends_ms: int | None = None
    """When the session is over at the latest: Unix time."""


def certified_user(config: TlsConfig, certificate: PeerCertificate | None) -> str | None:
    """The user whom a certificate names; None if it names none, or several, or users are not taken from it."""
    if certificate is None or not config.client_user:
        return None
    values = {
        "common_name": certificate.common_names,
        "email": certificate.emails,
        "uri": certificate.uris,
        "dns": certificate.hosts,
    }[config.client_user]
    before, _, after = config.client_user_form.partition(USER_SIGN)
    named = {
        value[len(before) : len(value) - len(after)]
        for value in values
        if value.startswith(before) and value.endswith(after) and len(value) > len(before) + len(after)
    }
    return named.pop() if len(named) == 1 else None


async def vouched_for(core: "Core", connect: Connect, certificate: PeerCertificate | None) -> Vouched | None:
    """The account that a certificate or a JWT lets in; None: it is for a password or a device token to say.

    May be a checkpoint; safe to cancel, though an account may have been created. Raises NotVouched and CommitRefused.
    """
    named = certified_user(core.config.tls, certificate)
    if named not in (None, connect.user):
        raise NotVouched(Reason.NOT_AUTHORIZED, "the certificate of this connection is that of another user")
    if connect.jwt is not None:
        return await _signed_on(core, connect, connect.jwt)
    if connect.password is not None or connect.token is not None:
        return None
    if named is None:
        text = "neither a password nor a token was given, and no certificate that names the user"
        raise NotVouched(Reason.BAD_USER_NAME_OR_PASSWORD, text)
    account = await core.readers.run(core.store.account, named)
    if account is None:
        raise _no_account()
    return Vouched(account)


async def _signed_on(core: "Core", connect: Connect, jwt: str) -> Vouched:
    sign_on = core.sign_on
    if sign_on is None:
        raise NotVouched(Reason.BAD_USER_NAME_OR_PASSWORD, "this broker takes no JWT")
    store, now_ms = core.store, core.now_ms()

    def look() -> tuple[SignedOn, Account | None]:
        signed = sign_on.check(jwt, now_ms)
        return signed, store.account(connect.user) if signed.user == connect.user else None

    try:
        signed, account = await core.readers.run(look)
    except JwtRefused as refused:
        raise NotVouched(Reason.BAD_USER_NAME_OR_PASSWORD, f"the JWT does not hold: {refused}") from refused
    if signed.user != connect.user:
        raise NotVouched(Reason.NOT_AUTHORIZED, "the JWT is that of another user")
    if signed.terminals is not None and connect.terminal not in signed.terminals:
        raise NotVouched(Reason.NOT_AUTHORIZED, f"the JWT is not for the terminal type {connect.terminal}")
    if account is None and core.config.jwt.create:
        account = await _created(core, connect.user)
    if account is None:
        raise _no_account()
    return Vouched(account, signed.expires_ms if core.config.jwt.end_at_expiry else None)


async def _created(core: "Core", name: str) -> Account | None:
    """The account of a user who comes for the first time, as it is then, whoever has made it."""
    created = await core.batcher.run(CreateUser(name=name, password_hash=core.accounts.no_password))
    if isinstance(created, UserCreated):
        _log.info("the account %s was created for a user who has come with a JWT", name)
    return await core.readers.run(core.store.account, name)


def _no_account() -> NotVouched:
    return NotVouched(Reason.NOT_AUTHORIZED, "this user has no account here")
