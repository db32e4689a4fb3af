"""`roost demo`: real processes, one document, an honest verdict, and nothing left behind."""

import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from admin.running import COMMAND, WAIT_S, command, environment
from roost.oracle import Delivered, History, dump, load
from roost_admin.failures import EX_DATAERR, EX_NOINPUT, EX_USAGE

pytestmark = pytest.mark.process


class Played(NamedTuple):
    """A demo that was played, with everything kept."""

    folder: Path
    document: dict[str, Any]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("demo")
    kept = folder / "kept"
    demo = subprocess.run(
        [*COMMAND, "demo", "--json", "--keep", str(kept)],
        env=environment(folder), capture_output=True, text=True, timeout=4 * WAIT_S, check=False,
    )  # fmt: skip
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert demo.stderr == ""
    return Played(kept, json.loads(demo.stdout))


def test_the_oracle_passes_it(played: Played) -> None:
    document = played.document
    assert document["passed"] is True
    assert document["problems"] == []
    assert document["verdict"]["passed"] is True
    assert document["verdict"]["violations"] == []
    assert document["verdict"]["figures"]["devices_caught_up"] == len(document["devices"]) == 7
    assert document["restarts"] == 1


def test_every_device_holds_every_number_or_was_told_that_it_is_lost(played: Played) -> None:
    heads: dict[str, set[int]] = {}
    for name, device in played.document["devices"].items():
        seqs = [entry["seq"] for entry in device["entries"]]
        assert seqs == sorted(set(seqs)), name
        lost = {seq for gap in device["gaps"] for seq in range(gap["first"], gap["last"] + 1)}
        assert lost.isdisjoint(seqs)
        head = max(seqs)
        assert lost | set(seqs) == set(range(1, head + 1)), name
        heads.setdefault(device["user"], set()).add(head)
    assert heads == {user: {max(reached)} for user, reached in heads.items()}
    assert heads.keys() == {"alice", "bob", "carol"}


def test_both_sides_are_on_all_devices_in_the_same_order(played: Played) -> None:
    document = played.document
    messages = {message["id"]: message for message in document["messages"]}
    assert list(messages) == sorted(messages)
    for name, device in document["devices"].items():
        user = device["user"]
        assert {entry["direction"] for entry in device["entries"]} == {"sent", "received"}, name
        for entry in device["entries"]:
            message = messages[entry["id"]]
            assert entry["sender"] == message["sender"]
            assert (entry["direction"] == "sent") == (message["sender"] == user)
            assert message["to"] in ("group/trip", f"user/{user}") or message["sender"] == user
        ids = [entry["id"] for entry in device["entries"]]
        theirs = [
            id_ for id_, m in messages.items() if m["sender"] == user or m["to"] in ("group/trip", f"user/{user}")
        ]
        assert set(ids) <= set(theirs), name
        if not device["gaps"]:
            assert set(ids) == set(theirs), name


def test_what_the_story_is_about_happened(played: Played) -> None:
    document = played.document
    devices = document["devices"]
    assert [kick["by"] for kick in devices["alice-pc"]["kicks"]] == ["alice-pc-2"]
    assert [kick["by"] for kick in devices["alice-pc-2"]["kicks"]] == ["alice-pc"]
    assert {name for name, device in devices.items() if device["gaps"]} == {"bob-pc"}
    assert devices["bob-pc"]["gaps"][0]["reason"] == "count"
    repeated = [each for each in document["retransmissions"] if each["device"] == "alice-phone"]
    assert len(repeated) >= 1
    held = {entry["id"]: entry["seq"] for entry in devices["alice-phone"]["entries"]}
    assert all(held[each["id"]] == each["seq"] for each in repeated)


def test_the_verdict_can_be_had_again(played: Played) -> None:
    history = str(played.folder / "history.ndjson")
    result = command("verify-history", history)
    assert result.exit_code == 0
    assert result.stdout.endswith("verdict: pass\n")
    assert json.loads(command("verify-history", history, "--json").stdout) == played.document["verdict"]


def test_a_history_with_one_delivery_less_does_not_pass(played: Played, tmp_path: Path) -> None:
    history = load(played.folder / "history.ndjson")
    events = [*history.events]
    events.remove([event for event in events if isinstance(event, Delivered)][40])
    dump(History(tuple(events), history.trims_known), tmp_path / "doctored")
    result = command("verify-history", str(tmp_path / "doctored"))
    assert result.exit_code == 1
    assert "verdict: FAIL (" in result.stdout
    assert " broken: " in result.stdout
    assert json.loads(command("verify-history", str(tmp_path / "doctored"), "--json").stdout)["passed"] is False


def test_histories_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("no history\n")
    for name, status in (("nowhere", EX_NOINPUT), ("empty", EX_DATAERR), ("text", EX_DATAERR)):
        result = command("verify-history", str(tmp_path / name))
        assert result.exit_code == status
        assert name in result.stderr
        assert result.stderr.count("\n") == 1


def test_a_folder_to_keep_is_new(tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    for path in (tmp_path, tmp_path / "something"):
        result = command("demo", "--keep", str(path))
        assert result.exit_code == EX_USAGE
        assert str(path) in result.stderr


def processes_with(word: str) -> list[int]:
    """Processes that have this word in their arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                arguments = (entry / "cmdline").read_bytes()
            except OSError:
                continue  # it has just ended
            if word.encode() in arguments:
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_no_process_and_no_folder(tmp_path: Path, number: int) -> None:
    """`TMPDIR` is this test's own, so that its processes are known by their arguments."""
    env = {**environment(tmp_path), "TMPDIR": str(tmp_path)}
    demo = subprocess.Popen([*COMMAND, "demo"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert demo.stdout is not None
    with demo.stdout:
        told = next(line for line in demo.stdout if "alice is logged in" in line)
        assert told
        assert len(processes_with(str(tmp_path))) >= 7
        demo.send_signal(number)
        demo.stdout.read()
        assert demo.wait(WAIT_S) == 128 + number
    end = time.monotonic() + WAIT_S
    while processes_with(str(tmp_path)):  # killed, and perhaps not yet gone from the table
        assert time.monotonic() < end
        time.sleep(0.05)
    assert list(tmp_path.iterdir()) == []


def test_a_demo_that_does_not_come_about_fails(tmp_path: Path) -> None:
    """Here the path of the admin socket is too long; there is a document all the same, and it says so."""
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    env = {**environment(tmp_path), "TMPDIR": str(deep)}
    demo = subprocess.run(
        [*COMMAND, "demo", "--json"], env=env, capture_output=True, text=True, timeout=4 * WAIT_S, check=False
    )
    assert demo.returncode == 1
    document = json.loads(demo.stdout)
    assert document["passed"] is False
    assert "107 bytes" in document["problems"][0]
    assert list(deep.iterdir()) == []


def test_the_story_on_a_pipe_is_plain_text_with_a_table_and_the_verdict(tmp_path: Path) -> None:
    demo = subprocess.run(
        [*COMMAND, "demo"], env={**environment(tmp_path), "TMPDIR": str(tmp_path)},
        capture_output=True, text=True, timeout=4 * WAIT_S, check=False,
    )  # fmt: skip
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "\x1b" not in demo.stdout
    assert demo.stderr == ""
    lines = demo.stdout.splitlines()
    assert lines[-2].startswith("✓ verdict: pass")
    assert "--stay" in lines[-1], "and how to go on in a browser"
    assert sum(line.startswith(f"{number}. ") for number in range(1, 9) for line in lines) == 8
    first = next(line for line in lines if line.strip().startswith("alice") and "Saturday" in line)
    assert first.split()[-7:] == ["→1", "→1", "→1", "→1", "1", "1", "·"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_at_the_end_there_is_a_chat_page_with_two_users(tmp_path: Path, number: int) -> None:
    env = {**environment(tmp_path), "TMPDIR": str(tmp_path)}
    demo = subprocess.Popen(
        [*COMMAND, "demo", "--stay"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert demo.stdout is not None
    with demo.stdout:
        told = next(line for line in demo.stdout if "log in as anna" in line)
        page = re.search(r"http://[0-9.]+:[0-9]+/", told)
        assert page is not None
        with urllib.request.urlopen(page[0], timeout=WAIT_S) as answer:  # noqa: S310
            assert b"<html" in answer.read()
        with urllib.request.urlopen(f"{page[0]}v1/users", timeout=WAIT_S) as answer:  # noqa: S310
            assert [row["name"] for row in json.load(answer)["users"]] == ["anna", "ben"]
        demo.send_signal(number)
        assert demo.stdout.read().splitlines()[-1] == "the demo is over"
        assert demo.wait(WAIT_S) == 0
    assert list(tmp_path.iterdir()) == []


def test_json_does_not_stay(tmp_path: Path) -> None:
    demo = subprocess.run(
        [*COMMAND, "demo", "--json", "--stay"], env=environment(tmp_path), capture_output=True, check=False
    )
    assert demo.returncode == EX_USAGE


def test_nobody_listens_to_the_story(tmp_path: Path) -> None:
    env = {**environment(tmp_path), "TMPDIR": str(tmp_path)}
    demo = subprocess.Popen([*COMMAND, "demo"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert demo.stdout is not None
    assert demo.stderr is not None
    demo.stdout.readline()
    demo.stdout.close()
    with demo.stderr:
        assert "Traceback" not in demo.stderr.read()
    assert demo.wait(WAIT_S) == 1
    assert list(tmp_path.iterdir()) == []
