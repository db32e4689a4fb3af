"""users, sessions, groups and status, against a real broker."""

import json
import os
import pwd
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import click
import pytest
import trio

import roost
from admin.running import PASSWORD, RunningBroker, command, password_fd
from roost_admin.failures import EX_DATAERR, EX_NOUSER, EX_UNAVAILABLE, EX_USAGE
from roost_admin.main import root

pytestmark = pytest.mark.process


def leaves(group: click.Group, *names: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command of the tree that does something, with its words."""
    for name, each in group.commands.items():
        if isinstance(each, click.Group):
            yield from leaves(each, *names, name)
        else:
            yield (*names, name), each


LEAVES = dict(leaves(root))
TALKS = {("serve",), ("chat",), ("completion",)}
"""Commands that are a conversation, or give a script, and no document."""

IN_OTHER_TESTS = {
    ("demo",),
    ("verify-history",),
    ("contexts", "list"),
    ("contexts", "add"),
    ("contexts", "remove"),
    ("explain",),
    ("events",),
    ("sessions", "watch"),
    ("config", "check"),
    ("config", "show"),
    ("reload",),
    ("drain",),
    ("backup",),
    ("restore",),
    ("compact",),
    ("inbox", "tail"),
    ("import",),
    ("sim",),
}

ARGUMENTS = {
    ("status",): [],
    ("fsck",): [],
    ("top",): ["--once", "--interval", "1"],
    ("users", "add"): ["json-user"],
    ("users", "list"): [],
    ("sessions", "list"): [],
    ("sessions", "show"): ["json-kicked/pc"],
    ("sessions", "history"): ["json-kicked"],
    ("sessions", "kick"): ["json-kicked"],
    ("groups", "create"): ["json-group", "--owner", "json-kicked"],
    ("groups", "add"): ["json-group", "json-user"],
    ("groups", "list"): [],
    ("groups", "of"): ["json-user"],
    ("admins", "add"): ["json-admin", "--role", "read"],
    ("admins", "list"): [],
    ("admins", "whoami"): [],
    ("admins", "revoke"): ["json-admin"],
    ("groups", "show"): ["json-group"],
    ("groups", "remove"): ["json-group", "json-user"],
    ("groups", "delete"): ["json-group", "--yes"],
    ("users", "show"): ["json-user"],
    ("users", "passwd"): ["json-user"],
    ("users", "disable"): ["json-user"],
    ("users", "enable"): ["json-user"],
    ("contacts", "add"): ["json-user", "json-kicked"],
    ("contacts", "list"): ["json-user"],
    ("contacts", "remove"): ["json-user", "json-kicked"],
    ("blocks", "add"): ["json-user", "json-kicked"],
    ("blocks", "list"): ["json-user"],
    ("blocks", "remove"): ["json-user", "json-kicked"],
    ("devices", "list"): ["json-kicked"],
    ("tokens", "list"): ["--user", "json-kicked"],
    ("tokens", "revoke"): ["json-kicked", "json-device"],
    ("devices", "forget"): ["json-kicked", "json-device"],
    ("export",): ["json-user"],
    ("send",): ["hello", "--from", "json-user", "--to", "user/json-kicked"],
    ("inbox", "show"): ["json-user"],
    ("inbox", "stat"): ["json-user"],
    ("retention", "show"): [],
    ("retention", "plan"): [],
    ("retention", "run"): [],
    ("check",): [],
    ("users", "remove"): ["json-user", "--yes"],
    ("erase",): ["json-kicked", "--yes"],
}

ASKS_PASSWORD = {("users", "add"), ("users", "passwd")}

STREAMS = {("erase",), ("export",), ("sessions", "history")}
"""Commands that give a document a line."""


def test_every_command_that_gives_data_gives_one_document(broker: RunningBroker) -> None:
    broker.create_users("json-kicked")
    asked = []

    async def kicked_meanwhile() -> None:
        async with roost.connect(
            broker.address, user="json-kicked", terminal="pc", device="json-device", password=PASSWORD
        ):
            for words, arguments in ARGUMENTS.items():
                asked.append(words)
                with password_fd() as fd:
                    extra = ["--password-fd", str(fd)] if words in ASKS_PASSWORD else []
                    whole = (*words, *arguments, *extra, "--json")
                    result = await trio.to_thread.run_sync(broker.ask, *whole)
                assert result.exit_code == 0, (words, result.output)
                documents = result.stdout.splitlines() if words in STREAMS else [result.stdout]
                assert all(json.loads(document) for document in documents), words
                assert documents, words
                assert result.stderr == "", words

    trio.run(kicked_meanwhile)
    assert set(asked) == LEAVES.keys() - TALKS - IN_OTHER_TESTS


def test_every_command_but_talks_takes_json() -> None:
    for words, each in LEAVES.items():
        takes = any("--json" in parameter.opts for parameter in each.params)
        assert takes != (words in TALKS), words


def test_every_command_has_an_example_that_parses() -> None:
    for words, each in LEAVES.items():
        text = re.sub(r"\s*\n\s*", "\n", each.help or "")
        lines = [line for line in text.split("Example:\n")[1].splitlines() if "roost " in line]
        assert lines, words
        for line in lines:
            for part in re.split(r"&&|\|", line):
                name, *arguments = shlex.split(part.split("3<")[0].split("  ")[0])
                if name == "roost":
                    check_parses(arguments)


def check_parses(arguments: list[str]) -> None:
    while arguments[0].startswith("--"):
        arguments = arguments[2:]
    words = next(words for words in LEAVES if list(words) == arguments[: len(words)])
    with LEAVES[words].make_context(words[-1], arguments[len(words) :]) as context:
        assert context.params


def test_users_are_created_and_listed(broker: RunningBroker) -> None:
    with password_fd("zażółć") as fd:
        result = broker.ask("users", "add", "zoë", "--password-fd", str(fd))
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "roost: user zoë created\n"
    listed = broker.ask("users", "list").stdout.splitlines()
    assert listed[0].split() == ["USER", "ONLINE", "DEVICES", "HEAD", "FLOOR", "CREATED", "STATE"]
    assert [line.split()[:5] for line in listed if line.startswith("zoë")] == [["zoë", "-", "0", "0", "1"]]
    row = next(row for row in json.loads(broker.ask("users", "list", "--json").stdout)["users"] if row["name"] == "zoë")
    assert row["online"] == []
    assert row["disabled"] is False

    async def log_in() -> str:
        async with roost.connect(broker.address, user="zoë", terminal="tv", password="zażółć") as session:
            return session.user

    assert trio.run(log_in) == "zoë"


@pytest.mark.parametrize(
    ("name", "password", "says"),
    [
        ("taken", PASSWORD, "there is a user 'taken' already"),
        ("a/b", PASSWORD, "no '/'"),
        ("x\x1b[2J", PASSWORD, "\\x1b[2J"),
        ("x" * 65, PASSWORD, "64"),
        ("long", "p" * 300, "256"),
    ],
)
def test_users_that_cannot_be(broker: RunningBroker, name: str, password: str, says: str) -> None:
    if name == "taken":
        broker.create_users(name)
    with password_fd(password) as fd:
        result = broker.ask("users", "add", name, "--password-fd", str(fd))
    assert result.exit_code == EX_DATAERR
    assert result.stdout == ""
    assert result.stderr.startswith("roost: ")
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert "\x1b" not in result.stderr


def test_a_password_is_never_an_argument_and_not_asked_for_without_a_terminal(broker: RunningBroker) -> None:
    result = broker.ask("users", "add", "nobody-asks")
    assert result.exit_code == EX_USAGE
    assert "--password-fd" in result.stderr
    assert broker.ask("users", "add", "alice", "secret").exit_code == EX_USAGE


def test_sessions_are_listed_and_kicked(broker: RunningBroker) -> None:
    broker.create_users("kim", "lee")

    async def main() -> None:
        async with (
            roost.connect(broker.address, user="kim", terminal="pc", device="kim-pc", password=PASSWORD) as kim,
            roost.connect(broker.address, user="lee", terminal="pad", password=PASSWORD),
        ):
            await kim.publish("user/lee", "hello")
            listed = await trio.to_thread.run_sync(broker.ask, "sessions", "list", "--user", "kim")
            head, row = listed.stdout.splitlines()
            assert head.split()[:3] == ["USER", "TERMINAL", "DEVICE"]
            assert row.split()[:3] == ["kim", "pc", "kim-pc"]
            rows = json.loads((await trio.to_thread.run_sync(broker.ask, "sessions", "list", "--json")).stdout)[
                "sessions"
            ]
            assert {"kim", "lee"} <= {row["user"] for row in rows}
            kicked = await trio.to_thread.run_sync(
                broker.ask, "sessions", "kick", "kim", "pc", "--reason", "lost laptop"
            )
            assert (kicked.exit_code, kicked.stderr) == (0, "roost: kim was logged out on pc\n")
            events = [event async for event in kim]
            ended = events[-1]
            assert isinstance(ended, roost.Ended)
            assert (ended.reason, ended.text) == (roost.Reason.ADMINISTRATIVE_ACTION, "lost laptop")
            assert ended.origin is not None
            assert (ended.origin.by, ended.origin.address) == (pwd.getpwuid(os.getuid()).pw_name, "admin socket")

    trio.run(main)
    gone = broker.ask("sessions", "list", "--user", "kim")
    assert (gone.exit_code, gone.stdout, gone.stderr) == (0, "", "roost: kim is not logged in\n")
    for user in ("kim", "there-is-no-such-user"):
        assert broker.ask("sessions", "kick", user).exit_code == EX_NOUSER


def test_groups_are_created_changed_and_listed(broker: RunningBroker) -> None:
    broker.create_users("ann", "ben", "cid")
    assert broker.ask("groups", "create", "choir", "--owner", "ann", "ben").stderr == "roost: group choir: ann, ben\n"
    assert broker.ask("groups", "add", "choir", "cid").exit_code == 0
    groups = json.loads(broker.ask("groups", "list", "--json").stdout)["groups"]
    assert {"name": "choir", "owner": "ann", "members": ["ann", "ben", "cid"]} in groups
    assert re.search(r"^choir +ann +3 +ann, ben, cid$", broker.ask("groups", "list").stdout, re.MULTILINE)
    assert broker.ask("groups", "of", "cid").stdout == "GROUP\nchoir\n"
    again = broker.ask("groups", "create", "choir", "--owner", "ben")
    assert (again.exit_code, again.stderr) == (EX_DATAERR, "roost: there is a group 'choir' already\n")
    for args in (("create", "new", "--owner", "nobody"), ("add", "choir", "nobody"), ("add", "nothing", "ann")):
        result = broker.ask("groups", *args)
        assert result.exit_code == EX_NOUSER, args
        assert "there is no" in result.stderr
    assert broker.ask("groups", "create", "new").exit_code == EX_USAGE
    assert broker.ask("groups", "add", "choir").exit_code == EX_USAGE


def test_admins_are_added_listed_and_revoked(broker: RunningBroker) -> None:
    added = broker.ask("admins", "add", "zoë", "--role", "operate")
    told = "roost: zoë is an admin with the role operate; the token follows, and is not said again\n"
    assert (added.exit_code, added.stderr) == (0, told)
    assert re.fullmatch(r"[\w-]{43}\n", added.stdout)
    assert re.search(r"^zoë +operate +20", broker.ask("admins", "list").stdout, re.MULTILINE)
    assert added.stdout.strip() not in broker.ask("admins", "list", "--json").stdout
    assert added.stdout.strip() not in (broker.data / "audit.log").read_text()
    assert json.loads(broker.ask("admins", "whoami", "--json").stdout)["role"] == "admin"
    assert "admin socket" in broker.ask("admins", "whoami").stdout
    assert broker.ask("admins", "add", "zoë", "--role", "read").exit_code == EX_DATAERR
    assert broker.ask("admins", "add", "root", "--role", "root").exit_code == EX_USAGE
    assert broker.ask("admins", "add", "root").exit_code == EX_USAGE
    assert broker.ask("admins", "revoke", "zoë").stderr == "roost: zoë is no admin any more\n"
    assert broker.ask("admins", "revoke", "zoë").exit_code == EX_NOUSER


def test_every_act_is_in_the_audit_log(broker: RunningBroker) -> None:
    broker.create_users("audited")
    lines = [json.loads(line) for line in (broker.data / "audit.log").read_text().splitlines()]
    (line,) = (line for line in lines if (line["body"] or {}).get("name") == "audited")
    assert (line["address"], line["role"], line["route"], line["result"]) == (
        "admin socket",
        "admin",
        "POST /v1/users",
        "done",
    )
    assert line["body"]["password"] == "…"
    assert line["who"] == pwd.getpwuid(os.getuid()).pw_name


def test_status(broker: RunningBroker) -> None:
    shown = broker.ask("status").stdout
    assert broker.address in shown
    status = json.loads(broker.ask("status", "--json").stdout)
    assert status["listeners"] == [broker.address]
    assert status["pid"] == broker.process.pid
    assert status["version"] == version("roost")


def test_the_broker_is_found_by_folder_socket_or_environment(broker: RunningBroker) -> None:
    for args, env in (
        (("--data", str(broker.data), "status"), {}),
        (("status", "--data", str(broker.data)), {}),
        (("status", "--socket", str(broker.socket)), {}),
        (("status",), {"ROOST_DATA": str(broker.data)}),
        (("status",), {"ROOST_SOCKET": str(broker.socket)}),
    ):
        assert command(*args, env=env).exit_code == 0, (args, env)


def test_without_a_broker_each_says_which_socket_it_looked_for(tmp_path: Path) -> None:
    for words, arguments in ARGUMENTS.items():
        with password_fd() as fd:
            extra = ["--password-fd", str(fd)] if words in ASKS_PASSWORD else []
            result = command(*words, *arguments, *extra, "--data", str(tmp_path))
        assert result.exit_code == EX_UNAVAILABLE, words
        assert str(tmp_path / "admin.sock") in result.stderr
        assert "roost serve" in result.stderr
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("args", [(), ("nonsense",), ("users",), ("status", "--nonsense"), ("users", "add")])
def test_wrong_usage(args: tuple[str, ...]) -> None:
    result = command(*args)
    assert result.exit_code == EX_USAGE
    assert "Usage: roost" in result.stderr
    assert result.stdout == ""


def test_version_and_help() -> None:
    assert command("--version").stdout == f"roost {version('roost')}\n"
    assert command("--help").exit_code == 0
    for words in LEAVES:
        shown = command(*words, "--help")
        assert shown.exit_code == 0
        assert "Example" in shown.stdout


def test_help_loads_none_of_what_commands_start() -> None:
    """So that it is there at once."""
    heavy = ("trio", "msgspec", "rich", "lmdb", "argon2", "roost", "roost_broker", "roost_protocol", "http.client")
    code = f"import sys; from roost_admin.main import root; print([name for name in {heavy!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
