"""users, devices, tokens, groups, contacts, blocks and erase, against a real broker and the client library."""

import json
import os
import re
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import get_args, get_type_hints

import lmdb
import msgspec
import pytest
import trio

import roost
from admin.running import PASSWORD, Chat, RunningBroker, password_fd
from roost_admin.failures import EX_DATAERR, EX_NOUSER, EX_USAGE
from roost_broker.store.account_operations import ERASED_TYPE
from roost_protocol.admin.export import Exported

pytestmark = pytest.mark.process


def connect(
    broker: RunningBroker, user: str, device: str, password: str = PASSWORD
) -> AbstractAsyncContextManager[roost.Session]:
    """A session of a device whose terminal type is the first word of its id."""
    terminal = device.partition("-")[0]
    return roost.connect(
        broker.address, user=user, terminal=terminal, device=device, password=password, want_token=True
    )


def test_nobody_of_that_name_everywhere(broker: RunningBroker) -> None:
    broker.create_users("alice")
    for args in (
        ("users", "show", "alcie"),
        ("users", "disable", "alcie"),
        ("users", "enable", "alcie"),
        ("users", "remove", "alcie", "--yes"),
        ("users", "passwd", "alcie", "--password-fd", "9"),
        ("devices", "alcie"),
        ("devices", "forget", "alcie", "x"),
        ("tokens", "list", "--user", "alcie"),
        ("tokens", "revoke", "alcie", "x"),
        ("groups", "create", "new", "--owner", "alcie"),
        ("blocks", "list", "alcie"),
        ("blocks", "add", "alice", "alcie"),
        ("contacts", "add", "alcie", "alice"),
        ("sessions", "kick", "alcie"),
        ("erase", "alcie", "--yes"),
    ):
        with password_fd() as fd:
            result = broker.ask(*(str(fd) if arg == "9" else arg for arg in args))
        said = (result.exit_code, result.stdout, result.stderr)
        assert said == (EX_NOUSER, "", "roost: there is no user 'alcie'; did you mean alice?\n"), args


def test_a_user_is_shown_with_devices(broker: RunningBroker) -> None:
    broker.create_users("dora", "emil")

    async def main() -> None:
        async with connect(broker, "dora", "phone-d") as dora:
            await dora.publish("user/emil", "hello")
            await dora.add_contact("emil")
            shown = await trio.to_thread.run_sync(broker.ask, "users", "show", "dora")
            lines = [line.split() for line in shown.stdout.splitlines()]
            assert ["State", "active"] in lines
            assert ["Contacts", "1"] in lines
            assert ["Inbox", "1", "to", "1,", "122", "B"] in [[*line[:4], "122", "B"] for line in lines]
            assert lines[-1][:2] == ["phone-d", "phone"]
            devices = await trio.to_thread.run_sync(broker.ask, "devices", "dora", "--json")
            (row,) = json.loads(devices.stdout)["devices"]
            assert (row["device"], row["online"], row["head"]) == ("phone-d", True, 1)

    trio.run(main)
    table = broker.ask("devices", "dora").stdout.splitlines()
    assert table[0].split()[:5] == ["DEVICE", "TERMINAL", "ONLINE", "LAST", "SEEN"]
    assert table[1].split()[:3] == ["phone-d", "phone", "-"]
    assert broker.ask("devices", "emil").stderr == "roost: emil has no devices yet\n"
    forgotten = broker.ask("devices", "forget", "dora", "phone-d")
    assert forgotten.stderr == "roost: dora: phone-d is forgotten\n"
    missing = broker.ask("devices", "forget", "dora", "phone-d")
    assert (missing.exit_code, missing.stderr) == (
        EX_NOUSER,
        "roost: dora has no device 'phone-d'; there are: none\n",
    )


def test_a_password_is_changed_and_everybody_logged_out(broker: RunningBroker) -> None:
    broker.create_users("pia")

    async def main() -> None:
        async with connect(broker, "pia", "pc-p") as pia:
            with password_fd("another") as fd:
                changed = await trio.to_thread.run_sync(
                    broker.ask, "users", "passwd", "pia", "--log-out", "--password-fd", str(fd)
                )
            assert changed.stderr == "roost: pia has a new password, and was logged out on pc\n"
            ended = [event async for event in pia][-1]
            assert isinstance(ended, roost.Ended)
            assert (ended.reason, ended.text) == (roost.Reason.ADMINISTRATIVE_ACTION, "the password was changed")
        with pytest.raises(roost.RoostError):
            async with connect(broker, "pia", "pc-p"):
                pass
        async with connect(broker, "pia", "pc-p", "another"):
            pass

    trio.run(main)
    with password_fd("x" * 300) as fd:
        assert broker.ask("users", "passwd", "pia", "--password-fd", str(fd)).exit_code == EX_DATAERR


def test_a_user_is_disabled_enabled_and_removed(broker: RunningBroker) -> None:
    broker.create_users("dan", "eve")

    async def log_in() -> None:
        async with connect(broker, "dan", "pc-d"):
            pass

    assert broker.ask("users", "disable", "dan").stderr == "roost: dan is disabled\n"
    with pytest.raises(roost.RoostError):
        trio.run(log_in)
    state = next(line for line in broker.ask("users", "list").stdout.splitlines() if line.startswith("dan "))
    assert state.endswith("disabled")
    assert broker.ask("users", "enable", "dan").stderr == "roost: dan is enabled\n"
    trio.run(log_in)
    refused = broker.ask("users", "remove", "dan")
    assert refused.exit_code == EX_USAGE
    assert "give --yes" in refused.stderr
    assert broker.ask("users", "remove", "dan", "--yes").stderr == "roost: dan is removed\n"
    assert broker.ask("users", "show", "dan").exit_code == EX_NOUSER
    broker.create_users("dan")


def test_on_a_terminal_the_name_is_asked_for_again(tmp_path: Path, broker: RunningBroker) -> None:
    broker.create_users("tim")
    with Chat(
        tmp_path, "remove", "tim", "--socket", str(broker.socket), verb="users", terminal=True, password=None
    ) as asked:
        asked.expect("Type tim to go on: ")
        asked.type("tom\n")
        assert "nothing was done: 'tom' is not 'tim'" in asked.rest()
    assert broker.ask("users", "show", "tim").exit_code == 0
    with Chat(tmp_path, "tim", "--socket", str(broker.socket), verb="erase", terminal=True, password=None) as asked:
        asked.expect("Type tim to go on: ")
        asked.type("tim\n")
        assert "tim is erased: 0 messages" in asked.rest()
    assert broker.ask("users", "show", "tim").exit_code == EX_NOUSER


def test_tokens_are_listed_and_revoked(broker: RunningBroker) -> None:
    broker.create_users("tess")

    async def main() -> None:
        async with connect(broker, "tess", "pad-t") as tess:
            assert tess.token
            listed = await trio.to_thread.run_sync(broker.ask, "tokens", "list", "--json")
            row = next(row for row in json.loads(listed.stdout)["tokens"] if row["user"] == "tess")
            assert (row["device"], row["terminal"], row["online"]) == ("pad-t", "pad", True)
            assert tess.token not in listed.stdout
            revoked = await trio.to_thread.run_sync(broker.ask, "tokens", "revoke", "tess", "pad-t")
            assert revoked.stderr == "roost: tess: pad-t has no token any more; its session was ended\n"
            assert isinstance([event async for event in tess][-1], roost.Ended)

    trio.run(main)
    assert broker.ask("tokens", "list", "--user", "tess").stderr == "roost: no device of tess has a token\n"


def test_groups_contacts_and_blocks(broker: RunningBroker) -> None:
    broker.create_users("gus", "hal", "ivy")
    broker.ask("groups", "create", "band", "--owner", "gus", "hal", "ivy")
    assert [line.split() for line in broker.ask("groups", "show", "band").stdout.splitlines()] == [
        ["USER", "ROLE"], ["gus", "owner"], ["hal", "member"], ["ivy", "member"]
    ]  # fmt: skip
    assert broker.ask("groups", "remove", "band", "gus").stderr == "roost: group band: hal, ivy\n"
    assert "give --yes" in broker.ask("groups", "delete", "band").stderr
    deleted = broker.ask("groups", "delete", "band", "--yes")
    assert deleted.stderr == "roost: group band is deleted; its members were hal, ivy\n"
    missing = broker.ask("groups", "show", "band")
    assert (missing.exit_code, missing.stderr) == (EX_NOUSER, "roost: there is no group 'band'\n")

    assert broker.ask("contacts", "add", "gus", "hal").stderr == "roost: hal is a contact of gus\n"
    assert broker.ask("contacts", "list", "gus").stdout.splitlines() == ["USER", "hal"]
    assert broker.ask("contacts", "remove", "gus", "hal").exit_code == 0
    assert broker.ask("contacts", "list", "gus").stderr == "roost: gus has no contacts\n"
    assert broker.ask("blocks", "add", "gus", "ivy").stderr == "roost: gus has blocked ivy\n"
    assert json.loads(broker.ask("blocks", "list", "gus", "--json").stdout) == {"user": "gus", "others": ["ivy"]}
    assert broker.ask("blocks", "remove", "gus", "ivy").stderr == "roost: ivy is not blocked by gus\n"


def test_a_user_is_erased_and_every_device_knows(tmp_path: Path) -> None:
    with RunningBroker(tmp_path) as broker:
        broker.create_users("alice", "bob", "carol")
        broker.ask("groups", "create", "team", "--owner", "bob", "alice", "carol")
        trio.run(_erase_alice, broker)
        status = json.loads(broker.ask("status", "--json").stdout)
        assert status["users"] == 2
        assert broker.stop() == 0
        copy = tmp_path / "copy"
        copy.mkdir()
        with lmdb.open(os.fspath(broker.data), readonly=True, max_dbs=64) as env:
            env.copy(os.fspath(copy), compact=True)
        data = (copy / "data.mdb").read_bytes()
        assert b"of bob" in data
        assert b"secret of alice" not in data


async def _erase_alice(broker: RunningBroker) -> None:
    async with connect(broker, "bob", "phone-b") as bob, connect(broker, "carol", "pc-c") as carol:
        async with connect(broker, "alice", "pc-a") as alice:
            for number in range(30):
                await alice.publish("user/bob", f"secret of alice {number} " * (1 + number * 12))
            await alice.publish("group/team", "secret of alice for all")
            await bob.publish("user/alice", "an answer of bob")
            assert len(await _messages(bob, 32)) == 32
            await _messages(carol, 1)
            result = await trio.to_thread.run_sync(broker.ask, "erase", "alice", "--yes", "--json")
            report = json.loads(result.stdout.splitlines()[-1])
            assert (report["step"], report["messages"], report["conversations"], report["inboxes"]) == (
                "done",
                31,
                2,
                2,
            )
            assert isinstance([event async for event in alice][-1], roost.Ended)
        told = await _messages(bob, 2)
        assert [(message.seq, message.conversation, message.content_type) for message in told] == [
            (33, "group/team", ERASED_TYPE),
            (34, "user/alice", ERASED_TYPE),
        ]
        assert [message.body for message in told] == [
            "1 message of alice was erased",
            "30 messages of alice were erased",
        ]
        assert [message.sender for message in await _messages(carol, 1)] == ["alice"]
        async with connect(broker, "bob", "pad-new") as late:
            messages = await _messages(late, 34)
            assert [message.seq for message in messages] == list(range(1, 35))
            assert [message.erased for message in messages] == [True] * 31 + [False] * 3
            assert messages[31].body == "an answer of bob"


async def _messages(session: roost.Session, count: int) -> list[roost.Message]:
    """The next entries that a session is told."""
    messages: list[roost.Message] = []
    with trio.fail_after(30):
        while len(messages) < count:
            event = await anext(session)
            if isinstance(event, roost.Message):
                messages.append(event)
    return messages


def test_many_users_are_listed_as_they_come(tmp_path: Path) -> None:
    """More than the broker gives at once: one document, every name once, in order."""
    config = "[passwords]\nmemory_kib = 8\npasses = 1\n[limits]\nlisting_max = 7\n"
    with RunningBroker(tmp_path, config=config) as broker:
        names = sorted(f"user{number:03}" for number in range(50))
        broker.create_users(*names)
        for noun in ("users", "sessions", "groups"):
            assert json.loads(broker.ask(noun, "list", "--json").stdout).keys() == {noun}
        rows = json.loads(broker.ask("users", "list", "--json").stdout)["users"]
        assert [row["name"] for row in rows] == names
        assert len(broker.ask("users", "list").stdout.splitlines()) == 51


def test_an_export_is_what_its_page_says(broker: RunningBroker) -> None:
    """Every line a document, of the kinds and in the order of docs/export.md."""
    broker.create_users("ed", "flo")
    broker.ask("contacts", "add", "ed", "flo")

    async def talk() -> None:
        async with connect(broker, "ed", "pc-e") as ed:
            await ed.publish("user/flo", "hello")

    trio.run(talk)
    records = [json.loads(line) for line in broker.ask("export", "ed").stdout.splitlines()]
    page = (Path(__file__).parents[2] / "docs" / "export.md").read_text("utf-8")
    kinds = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)[1:]
    assert [record["kind"] for record in records] == ["account", "device", "contact", "entry", "end"]
    assert sorted((record["kind"] for record in records), key=kinds.index) == [record["kind"] for record in records]
    assert set(kinds) == set(get_args(get_type_hints(Exported)["kind"]))
    for example in re.findall(r"^\{.*\}$", page, re.MULTILINE):
        record = msgspec.json.decode(example, type=Exported)
        assert getattr(record, record.kind) is not None
    assert records[3]["entry"]["entry"]["text"] == "hello"
    assert records[-1]["end"] == 1
