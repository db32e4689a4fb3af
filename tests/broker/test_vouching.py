"""Log-in by the word of others: a certificate names the user, or the site's own sign-on does."""

import logging
from pathlib import Path
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from broker.certifying import Authority
from broker.house import PASSWORD, START_MS, House, in_house, in_virtual_time, open_house
from broker.signing import HOUR_S, SECRET, START_S, by_secret, claims, signed
from broker.test_certificates import issue
from roost_broker.config import JwtConfig, TlsConfig
from roost_broker.store import CommitRefused
from roost_broker.store.account_operations import SetDisabled
from roost_broker.transport import PeerCertificate
from roost_broker.vouching import certified_user
from roost_protocol.admin.users import PasswordSet
from roost_protocol.frames import Connack, Disconnect
from roost_protocol.reasons import Reason

ALICE = PeerCertificate(common_names=("alice",))


def taking(where: str = "common_name", form: str = "{user}") -> TlsConfig:
    return TlsConfig(client_user=where, client_user_form=form)


def taken(folder: Path, client_user: str = "common_name") -> TlsConfig:
    """Files that a broker can start with; certificates are what the network in memory says they are."""
    ours, authority = issue(folder), str(Authority(folder).write())
    return replace(ours, client_certificates="accepted", client_ca=authority, client_user=client_user)


# --- whom a certificate names -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "form", "certificate", "user"),
    [
        ("common_name", "{user}", ALICE, "alice"),
        ("", "{user}", ALICE, None),
        ("email", "{user}", ALICE, None),
        ("email", "{user}", PeerCertificate(emails=("alice@example.com",)), "alice@example.com"),
        ("email", "{user}@example.com", PeerCertificate(emails=("alice@example.com",)), "alice"),
        ("email", "{user}@example.com", PeerCertificate(emails=("alice@example.com.evil.test",)), None),
        ("email", "{user}@example.com", PeerCertificate(emails=("@example.com",)), None),
        ("email", "{user}@example.com", PeerCertificate(emails=("alice@evilexample.com",)), None),
        ("uri", "spiffe://example/u/{user}", PeerCertificate(uris=("spiffe://example/u/bob",)), "bob"),
        ("uri", "spiffe://example/u/{user}", PeerCertificate(uris=("spiffe://evil/u/bob",)), None),
        ("dns", "{user}.devices.example", PeerCertificate(hosts=("bob.devices.example",)), "bob"),
        ("dns", "aa{user}aa", PeerCertificate(hosts=("aaa",)), None),
        ("common_name", "{user}", PeerCertificate(common_names=("alice", "bob")), None),
        ("common_name", "{user}", PeerCertificate(common_names=("alice", "alice")), "alice"),
        ("email", "{user}@a.b", PeerCertificate(emails=("x@c.d", "carol@a.b")), "carol"),
        ("common_name", "{user}", None, None),
    ],
)
def test_whom_a_certificate_names(where: str, form: str, certificate: PeerCertificate | None, user: str | None) -> None:
    assert certified_user(taking(where, form), certificate) == user


@in_house()
async def test_without_any_credential_nobody_gets_in(house: House) -> None:
    for user in ("alice", "nobody"):
        refused = await house.refusal(user, password=None)
        assert (refused.reason, refused.retry_after_s) == (Reason.BAD_USER_NAME_OR_PASSWORD, None)
    assert len(house.core.directory) == 0


# --- certificates -------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_certificate_serves_in_place_of_the_password(tmp_path: Path) -> None:
    async with open_house(tls=taken(tmp_path)) as house:
        house.listener.certificate = ALICE
        house.calls.clear()
        device = await house.log_in("alice", password=None)
        assert house.calls["_check"] == 0
        assert device.connack.token is None
        assert (await house.log_in("alice", "pc", password=None, want_token=True)).connack.token


@pytest.mark.parametrize("credential", [{"password": None}, {"password": PASSWORD}, {"password": "wrong"}])
@in_virtual_time
async def test_whoever_shows_a_certificate_is_nobody_else(tmp_path: Path, credential: dict[str, Any]) -> None:
    """Not even with the other's password; and whether there is such a user at all is not said."""
    async with open_house(tls=taken(tmp_path)) as house:
        house.listener.certificate = ALICE
        for user in ("bob", "nobody"):
            refused = await house.refusal(user, **credential)
            assert refused.reason == Reason.NOT_AUTHORIZED
            assert refused.retry_after_s is None
            assert refused.text == "the certificate of this connection is that of another user"


@in_virtual_time
async def test_nor_with_a_device_token_of_another(tmp_path: Path) -> None:
    async with open_house(tls=taken(tmp_path)) as house:
        token = (await house.log_in("bob", want_token=True)).connack.token
        house.listener.certificate = ALICE
        assert (await house.refusal("bob", token=token)).reason == Reason.NOT_AUTHORIZED


@in_virtual_time
async def test_a_credential_that_is_given_is_checked(tmp_path: Path) -> None:
    async with open_house(tls=taken(tmp_path)) as house:
        house.listener.certificate = ALICE
        assert (await house.refusal("alice", password="wrong")).reason == Reason.BAD_USER_NAME_OR_PASSWORD
        await house.log_in("alice", password=PASSWORD)


@in_virtual_time
async def test_without_a_certificate_that_names_anybody_a_credential_is_needed(tmp_path: Path) -> None:
    async with open_house(tls=taken(tmp_path)) as house:
        for certificate in (None, PeerCertificate(emails=("alice",))):
            house.listener.certificate = certificate
            refused = await house.refusal("alice", password=None)
            assert refused.reason == Reason.BAD_USER_NAME_OR_PASSWORD
            await house.log_in("alice")


@in_virtual_time
async def test_a_certificate_from_which_no_user_is_taken_lets_nobody_in(tmp_path: Path) -> None:
    async with open_house(tls=taken(tmp_path, client_user="")) as house:
        house.listener.certificate = ALICE
        assert (await house.refusal("alice", password=None)).reason == Reason.BAD_USER_NAME_OR_PASSWORD
        await house.log_in("bob")


@in_virtual_time
async def test_a_certificate_makes_no_account_and_lets_no_disabled_one_in(tmp_path: Path) -> None:
    async with open_house(tls=taken(tmp_path)) as house:
        house.listener.certificate = PeerCertificate(common_names=("nobody",))
        assert (await house.refusal("nobody", password=None)).reason == Reason.NOT_AUTHORIZED
        house.listener.certificate = ALICE
        await house.core.batcher.run(SetDisabled(user=house.number("alice"), disabled=True))
        assert (await house.refusal("alice", password=None)).reason == Reason.BAD_USER_NAME_OR_PASSWORD


# --- JWTs ---------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_jwt_serves_in_place_of_the_password(tmp_path: Path) -> None:
    async with open_house(jwt=by_secret(tmp_path)) as house:
        token = (await house.log_in("alice", jwt=signed(SECRET), want_token=True)).connack.token
        assert token is not None
        assert house.calls["_check"] == 0, "no password was hashed"
        await house.log_in("alice", token=token)
        await house.log_in("bob")
        refused = await house.refusal("alice", jwt=signed(b"x" * 40))
        assert refused.reason == Reason.BAD_USER_NAME_OR_PASSWORD
        assert refused.text == "the JWT does not hold: its signature is wrong"
        assert refused.retry_after_s is None


@in_house()
async def test_without_a_key_there_is_no_log_in_with_a_jwt(house: House) -> None:
    for jwt in (signed(SECRET), signed(None), signed(b"")):
        refused = await house.refusal("alice", jwt=jwt)
        assert (refused.reason, refused.text) == (Reason.BAD_USER_NAME_OR_PASSWORD, "this broker takes no JWT")


@in_virtual_time
async def test_a_jwt_is_of_one_user(tmp_path: Path) -> None:
    async with open_house(jwt=by_secret(tmp_path)) as house:
        for user in ("bob", "nobody"):
            assert (await house.refusal(user, jwt=signed(SECRET))).reason == Reason.NOT_AUTHORIZED
        expired = signed(SECRET, claims(exp=START_S - HOUR_S))
        assert (await house.refusal("alice", jwt=expired)).reason == Reason.BAD_USER_NAME_OR_PASSWORD
        await house.core.batcher.run(SetDisabled(user=house.number("alice"), disabled=True))
        assert (await house.refusal("alice", jwt=signed(SECRET))).reason == Reason.BAD_USER_NAME_OR_PASSWORD


@in_virtual_time
async def test_a_jwt_and_a_certificate_have_to_agree(tmp_path: Path) -> None:
    async with open_house(jwt=by_secret(tmp_path), tls=taken(tmp_path)) as house:
        house.listener.certificate = PeerCertificate(common_names=("bob",))
        assert (await house.refusal("alice", jwt=signed(SECRET))).reason == Reason.NOT_AUTHORIZED
        house.listener.certificate = ALICE
        await house.log_in("alice", jwt=signed(SECRET))


@in_virtual_time
async def test_a_jwt_may_be_for_some_terminal_types(tmp_path: Path) -> None:
    async with open_house(jwt=by_secret(tmp_path, terminals_claim="terminals")) as house:
        jwt = signed(SECRET, claims(terminals=["web", "pc"]))
        await house.log_in("alice", "pc", jwt=jwt)
        refused = await house.refusal("alice", "phone", jwt=jwt)
        assert (refused.reason, refused.text) == (
            Reason.NOT_AUTHORIZED, "the JWT is not for the terminal type phone",
        )  # fmt: skip
        await house.log_in("alice", "phone", jwt=signed(SECRET))


# --- accounts -----------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_an_account_is_not_made_unless_that_is_configured(tmp_path: Path) -> None:
    async with open_house(jwt=by_secret(tmp_path)) as house:
        refused = await house.refusal("dora", jwt=signed(SECRET, claims(sub="dora")))
        assert (refused.reason, refused.text) == (Reason.NOT_AUTHORIZED, "this user has no account here")
        assert house.store.account("dora") is None


@in_virtual_time
async def test_an_account_is_made_at_the_first_log_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with open_house(jwt=by_secret(tmp_path, create=True)) as house:
        jwt = signed(SECRET, claims(sub="dora"))
        devices = [await house.ask_in("dora", terminal, jwt=jwt) for terminal in ("phone", "pc")]
        answers = [await device.expect(Connack) for device in devices]
        assert [answer.reason for answer in answers] == [Reason.SUCCESS] * 2, "two at once: one makes it, both get in"
        assert caplog.text.count("the account dora was created") == 1
        for password in ("", PASSWORD, "x"):
            refused = await house.refusal("dora", "pad", password=password or "y")
            assert refused.reason == Reason.BAD_USER_NAME_OR_PASSWORD
        await house.broker.admin.users.set_password("dora", PasswordSet(password="of her own"))
        await house.log_in("dora", "pad", password="of her own")


@in_virtual_time
async def test_an_account_is_not_made_for_who_names_another(tmp_path: Path) -> None:
    async with open_house(jwt=by_secret(tmp_path, create=True, terminals_claim="terminals")) as house:
        assert (await house.refusal("dora", jwt=signed(SECRET, claims(sub="eve")))).reason == Reason.NOT_AUTHORIZED
        jwt = signed(SECRET, claims(sub="dora", terminals=["web"]))
        assert (await house.refusal("dora", jwt=jwt)).reason == Reason.NOT_AUTHORIZED
        jwt = signed(b"x" * 40, claims(sub="dora"))
        assert (await house.refusal("dora", jwt=jwt)).reason == Reason.BAD_USER_NAME_OR_PASSWORD
        assert house.store.account("dora") is None
        assert house.store.account("eve") is None


@in_virtual_time
async def test_a_full_store_makes_no_account_and_says_when_to_come_back(tmp_path: Path) -> None:
    async with open_house(jwt=by_secret(tmp_path, create=True)) as house:
        house.store.faults.append(CommitRefused("the map is full", Reason.QUOTA_EXCEEDED))
        refused = await house.refusal("dora", jwt=signed(SECRET, claims(sub="dora")))
        assert refused.reason == Reason.QUOTA_EXCEEDED
        assert refused.retry_after_s is not None
        await house.log_in("dora", jwt=signed(SECRET, claims(sub="dora")))


# --- the end of a JWT ---------------------------------------------------------------------------------------------


def short(folder: Path, **more: Any) -> tuple[JwtConfig, str]:
    """A JWT that holds for another minute, with a leeway of 10 s."""
    return by_secret(folder, leeway_s=10, **more), signed(SECRET, claims(exp=START_S + 60))


@in_virtual_time
async def test_a_session_outlives_its_jwt(tmp_path: Path) -> None:
    config, jwt = short(tmp_path)
    async with open_house(jwt=config) as house:
        alice = await house.log_in("alice", jwt=jwt, keepalive_s=600)
        for _ in range(4):
            await trio.sleep(25)
            await alice.expect_alive()
        assert (await house.refusal("alice", "pc", jwt=jwt)).text == "the JWT does not hold: it has expired"


@in_virtual_time
async def test_unless_it_is_to_end_with_it(tmp_path: Path) -> None:
    config, jwt = short(tmp_path, end_at_expiry=True)
    async with open_house(jwt=config) as house:
        alice = await house.log_in("alice", jwt=jwt, want_token=True)
        assert alice.connack.token is None, "a token would outlive it"
        bob = await house.log_in("bob", want_token=True)
        assert bob.connack.token
        await trio.sleep(69 - (house.core.now_ms() - START_MS) / 1000)
        await alice.expect_alive()
        told = await alice.expect(Disconnect)
        assert house.core.now_ms() == pytest.approx(START_MS + 70_000, abs=600)
        assert (told.reason, told.reconnect) == (Reason.MAXIMUM_CONNECT_TIME, True)
        await alice.expect_end()
        await bob.expect_alive()
        again = signed(SECRET, claims(exp=START_S + 600))
        assert (await house.log_in("alice", jwt=again, epoch=alice.connack.epoch)).connack.resumed
