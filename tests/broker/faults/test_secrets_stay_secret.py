"""No password and no token is said again: in no log, audit log, answer, listing, metric or record of the journal.

Others told them to whoever watched the broker (CVE-2026-33216, CVE-2026-33247). Each secret here is a word that stands
nowhere else; then everything is gone through that a broker says of itself.
"""

import logging
from base64 import b64encode

import pytest

from broker.house import House, in_house
from broker.http.admin_door import AdminDoor, admin_door
from roost_broker.http.callers import BearerCallers
from roost_protocol import codec
from roost_protocol.frames import Connack, Connect, Disconnect, Ping, Result, Sessions
from roost_protocol.reasons import Reason

LOOKED_AT = (
    "/v1/status", "/v1/users", "/v1/users/dora", "/v1/sessions", "/v1/sessions/dora/phone", "/v1/users/dora/devices",
    "/v1/tokens", "/v1/events", "/v1/admins", "/v1/config", "/v1/whoami", "/v1/users/dora/inbox", "/metrics",
    "/v1/health", "/v1/openapi.json", "/v1/users/dora/inbox/1/explain",
)  # fmt: skip


async def devices_use_secrets(house: House) -> set[str]:
    """Every way in which a device says one, right and wrong; all of them."""
    token = ""
    device = await house.ask_in("dora", password="CANARY-password", want_token=True)
    connack = await device.expect(Connack)
    assert connack.token
    token = connack.token
    await house.refusal("dora", "pc", password="CANARY-wrong")
    await house.refusal("nobody", password="CANARY-of-nobody")
    await house.refusal("dora", "pc", token="CANARY-bad-token")
    await device.say(
        Sessions(request=1, action="set_password", password="CANARY-password", new_password="CANARY-changed")
    )
    assert (await device.pick(Result)).reason == Reason.SUCCESS
    await device.say(Sessions(request=2, action="set_password", password="CANARY-old", new_password="CANARY-other"))
    assert (await device.pick(Result)).reason != Reason.SUCCESS
    await device.stream.aclose()
    again = await house.ask_in("dora", token=token)
    assert (await again.expect(Connack)).reason == Reason.SUCCESS
    for broken in (b"\xa8password\xa0", b"\xa8password\xa6CANARY\xc1", b"\xa5token\x91\xa6CANARY"):
        stranger = await house.dial()
        body = b"\x83\xa4user\xa4dora\xa6device\xa1d" + broken
        await stranger.stream.send_all((len(body) + 1).to_bytes(4, "big") + b"\x01" + body)
        assert isinstance(await stranger.hear(), Disconnect)
    stranger = await house.dial()
    twice = codec.encode(Connect(user="dora", terminal="tv", device="t", password="CANARY-twice"))
    await stranger.stream.send_all(codec.encode(Ping()) + twice)
    assert isinstance(await stranger.hear(), Disconnect)
    return {token}


async def admins_use_secrets(door: AdminDoor) -> set[str]:
    """The same of an admin: what is answered once, when it is made, is answered then alone."""
    peer = door.dial()
    made = await peer.ask("POST", "/v1/admins", b'{"name":"olga","role":"operate"}')
    assert made.status == 200, made
    said: set[str] = {made.json["token"]}
    for method, target, body in (
        ("POST", "/v1/users", b'{"name":"erin","password":"CANARY-erin"}'),
        ("POST", "/v1/users", b'{"name":"dora","password":"CANARY-there-already"}'),
        ("POST", "/v1/users", b'{"name":"no/name","password":"CANARY-no-name"}'),
        ("POST", "/v1/users", b'{"name":"fay","password":["CANARY-list"]}'),
        ("POST", "/v1/users", b'{"name":"fay","password":"CANARY-half'),
        ("PUT", "/v1/users/erin/password", b'{"password":"CANARY-new"}'),
        ("PUT", "/v1/users/nobody/password", b'{"password":"CANARY-nobody"}'),
    ):
        answer = await peer.ask(method, target, body)
        assert b"CANARY" not in answer.body, answer
    return said


async def strangers_ask(house: House) -> None:
    """Tokens that are none, at the door for admins."""
    async with admin_door(house, BearerCallers(house.core)) as door:
        for sent in ("Bearer CANARY-admin-token", f"Basic {b64encode(b'dora:CANARY').decode()}", "CANARY"):
            answer = await door.dial().ask("GET", "/v1/status", authorization=sent)
            assert (answer.status, "CANARY" in answer.body.decode()) == (401, False)


@in_house(drain_s=1.0)
async def test_no_secret_is_said_again(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with admin_door(house) as door:
        created = await door.dial().ask("POST", "/v1/users", b'{"name":"dora","password":"CANARY-password"}')
        assert created.status == 200, created
        secrets = {"CANARY"} | await devices_use_secrets(house) | await admins_use_secrets(door)
        await strangers_ask(house)
        said = {"the log": caplog.text, "the audit log": door.path.read_text("utf-8")}
        for target in LOOKED_AT:
            answer = await door.dial().ask("GET", target)
            assert answer.status in (200, 404), (target, answer)
            said[target] = answer.body.decode()
        said["the journal"] = repr(house.store.read_journal(None, limit=1_000))
    assert "dora" in said["the log"], "it was looked at"
    assert "dora" in said["the audit log"]
    found = [(where, secret) for where, text in said.items() for secret in secrets if secret in text]
    assert not found
