"""`roost completion`: the scripts, and what is offered for a line."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest
import trio

import roost
from admin.running import COMMAND, PASSWORD, WAIT_S, RunningBroker, command, environment
from roost_admin.completion import ASK_S
from roost_protocol.admin.groups import GROUPS_CREATE, GroupCreate

pytestmark = pytest.mark.process


def offered(broker: RunningBroker | None, line: str, folder: Path, **more: str) -> list[str]:
    """What bash would offer for the last word of a line."""
    words = line.split(" ")
    env = environment(folder) | {"_ROOST_COMPLETE": "bash_complete", "COMP_WORDS": line}
    env |= {"COMP_CWORD": str(len(words) - 1), "ROOST_SOCKET": str(broker.socket if broker else folder / "none")} | more
    done = subprocess.run(COMMAND, env=env, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.stderr == ""
    return [row.partition(",")[2] for row in done.stdout.splitlines() if row]


@pytest.fixture(scope="module")
def named(broker: RunningBroker) -> RunningBroker:
    broker.create_users("alice", "alina", "bob", "zoë")
    broker.api.ask(GROUPS_CREATE, body=GroupCreate(name="alpha", owner="alice"))
    return broker


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("roost inb", ["inbox"]),
        ("roost inbox show --new", ["--newest"]),
        ("roost inbox show ali", ["alice", "alina"]),
        ("roost inbox show alice", ["alice"]),
        ("roost inbox show zo", ["zoë"]),
        ("roost inbox show zoë", ["zoë"]),
        ("roost inbox show x", []),
        ("roost inbox show \ue000", []),
        ("roost sessions kick b", ["bob"]),
        ("roost groups create g --owner al", ["alice", "alina"]),
        ("roost send --from bo", ["bob"]),
        ("roost send --from bob --to user/al", ["user/alice", "user/alina"]),
        ("roost send --from bob --to group/", ["group/alpha"]),
        ("roost inbox show alice --conversation g", ["group/alpha"]),
        ("roost check --format n", ["nagios"]),
        ("roost users show al", ["alice", "alina"]),
        ("roost users remove b", ["bob"]),
        ("roost users add al", []),
        ("roost groups show al", ["alpha"]),
        ("roost groups create al", []),
        ("roost blocks add alice b", ["bob"]),
        ("roost devices al", ["alice", "alina"]),
        ("roost devices f", ["forget"]),
        ("roost explain b", ["bob"]),
        ("roost events --kind session", ["session-opened", "session-closed", "session-ended"]),
    ],
)
def test_names_and_words_are_offered(named: RunningBroker, tmp_path: Path, line: str, expected: list[str]) -> None:
    assert offered(named, line, tmp_path) == expected


def test_without_a_broker_there_is_nothing_to_offer_and_nothing_is_said(tmp_path: Path) -> None:
    before = time.monotonic()
    assert offered(None, "roost inbox show a", tmp_path) == []
    assert time.monotonic() - before < WAIT_S + ASK_S


def test_contexts_are_offered_and_the_broker_of_one_is_asked(named: RunningBroker, tmp_path: Path) -> None:
    home = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert command("contexts", "add", "prod", "--socket", str(named.socket), env=home).exit_code == 0
    for line, expected in [
        ("roost --context p", ["prod"]),
        ("roost contexts remove p", ["prod"]),
        ("roost --context prod users show b", ["bob"]),
        ("roost users show --context prod b", ["bob"]),
    ]:
        assert offered(None, line, tmp_path, **home) == expected
    assert offered(None, "roost users show b", tmp_path, ROOST_CONTEXT="prod", ROOST_SOCKET="", **home) == ["bob"]


def test_a_live_session_is_offered(named: RunningBroker, tmp_path: Path) -> None:
    async def while_here() -> None:
        async with roost.connect(named.address, user="bob", terminal="pad", password=PASSWORD):
            found = await trio.to_thread.run_sync(offered, named, "roost sessions show b", tmp_path)
            assert found == ["bob/pad"]

    trio.run(while_here)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_of_that_shell(shell: str) -> None:
    result = command("completion", shell)
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"_ROOST_COMPLETE={shell}_complete" in result.stdout
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=result.stdout, text=True, check=True, timeout=WAIT_S)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_itself_completes(named: RunningBroker, tmp_path: Path) -> None:
    """The script is loaded by a bash, and its function asked as the shell does when Tab is pressed."""
    tool = tmp_path / "roost"
    tool.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    tool.chmod(0o755)
    program = (
        "source <(roost completion bash)\nCOMP_WORDS=(roost inbox show ali)\nCOMP_CWORD=3\n"
        '_roost_completion roost\nprintf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    env = environment(tmp_path) | {"ROOST_SOCKET": str(named.socket)}
    env["PATH"] = f"{tmp_path}:{env['PATH']}"
    done = subprocess.run(["bash", "-c", program], env=env, capture_output=True, text=True, timeout=WAIT_S, check=True)
    assert done.stdout.split() == ["alice", "alina"], done.stderr
    assert PASSWORD not in done.stdout


def test_a_shell_that_is_not_known() -> None:
    assert command("completion", "csh").exit_code == 64
