"""`roost import` on real brokers: there and back, cut and gone on with, and what a bad file gets."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

import roost
from admin.running import PASSWORD, RunningBroker, command
from roost_admin.failures import EX_DATAERR, EX_NOINPUT, EX_TEMPFAIL, EX_UNAVAILABLE, Failure
from roost_admin.import_file import ExportReader
from roost_admin.importing import Importing
from roost_broker.administration.imports import SLICE_ENTRIES

pytestmark = pytest.mark.process


def talk(broker: RunningBroker, count: int, user: str = "alice", to: str = "user/bob") -> None:
    """Messages of a user."""

    async def run() -> None:
        async with (
            roost.connect(broker.address, user=user, terminal="pc", device=f"pc-{user}", password=PASSWORD) as pc,
            trio.open_nursery() as nursery,
        ):
            for number in range(count):
                nursery.start_soon(pc.publish, to, f"number {number}")
                if number % 100 == 99:
                    await trio.lowlevel.checkpoint()

    trio.run(run)


def export(broker: RunningBroker, user: str, file: Path) -> list[str]:
    """Export a user into a file; its lines."""
    done = broker.ask("export", user)
    assert done.exit_code == 0, done.stderr
    file.write_text(done.stdout)
    return done.stdout.splitlines()


def entries(lines: list[str]) -> list[object]:
    """The messages of an export."""
    return [json.loads(line)["entry"]["entry"] for line in lines if line.startswith('{"kind":"entry"')]


def fsck(broker: RunningBroker) -> None:
    """Check the store of a running broker."""
    done = broker.ask("fsck")
    assert done.exit_code == 0, done.stdout


def test_from_one_site_to_another(tmp_path: Path) -> None:
    """Two users move, one after the other; the messages between them are there once, and both go on."""
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    files = {name: tmp_path / f"{name}.ndjson" for name in ("alice", "bob")}
    with RunningBroker(tmp_path / "old") as old:
        old.create_users("alice", "bob")
        old.ask("groups", "create", "team", "--owner", "bob", "alice")
        old.ask("contacts", "add", "alice", "bob")
        talk(old, 300)
        talk(old, 3, "bob", "group/team")
        lines = {name: export(old, name, file) for name, file in files.items()}
    with RunningBroker(tmp_path / "new") as new:
        dry = new.ask("import", str(files["alice"]), "--dry-run")
        assert (dry.exit_code, dry.stdout.splitlines()[0].split()) == (0, ["LEFT", "OUT", "NAME", "WHY"])
        assert dry.stderr.splitlines() == [
            "roost: alice would be imported: 303 entries; 303 messages new here, 0 shared with others here",
            "roost: 1 device left out: each starts over when it logs in",
            "roost: contacts, blocks and memberships taken: 0, left out: 2",
        ]
        assert json.loads(new.ask("users", "list", "--json").stdout) == {"users": []}
        done = new.ask("import", str(files["alice"]))
        assert done.exit_code == 0, done.stderr
        assert [line.split()[:2] for line in done.stdout.splitlines()[1:]] == [["contact", "bob"], ["group", "team"]]
        assert done.stderr.splitlines()[-1] == (
            "roost: the account is disabled: `roost users passwd alice`, then `roost users enable alice`"
        )
        other = command("--socket", str(new.socket), "import", "-", "--json", input_=files["bob"].read_text())
        assert (other.exit_code, other.stderr) == (0, "")
        report = json.loads(other.stdout)
        assert (report["user"], report["entries"], report["stored"], report["shared"]) == ("bob", 303, 0, 303)
        fsck(new)
        for name, file in files.items():
            assert entries(export(new, name, tmp_path / "again")) == entries(lines[name])
            taken = new.ask("import", str(file))
            assert (taken.exit_code, taken.stderr) == (
                EX_DATAERR,
                f"roost: there is a user '{name}' already; the name has to be free\n",
            )
        show = json.loads(new.ask("users", "show", "alice", "--json").stdout)
        assert (show["disabled"], show["importing"], show["head"]) == (True, False, 303)
        audit = [json.loads(line) for line in (new.data / "audit.log").read_text().splitlines()]
        begun = [line for line in audit if line["route"] == "POST /v1/users/{user}/import"]
        assert [(line["names"], line["result"]) for line in begun if line["result"] == "done"] == [
            (["alice"], "done"), (["alice"], "done"), (["bob"], "done")
        ]  # fmt: skip
        assert "number 1" not in (new.data / "audit.log").read_text(), "no bodies in the audit log"
        assert "account alice: imported" in new.ask("events", "--user", "alice").stdout


@contextmanager
def killed_after(broker: RunningBroker, slices: int) -> Iterator[object]:
    """Progress that kills the broker, like a power cut, when so many slices are there."""
    done = 0

    def moved(_: int) -> None:
        nonlocal done
        done += 1
        if done == slices:
            broker.stop(signal.SIGKILL)

    yield moved


@pytest.mark.parametrize("slices", [1, 2, 3])
def test_the_broker_is_killed_and_the_import_goes_on(tmp_path: Path, slices: int) -> None:
    count = 2 * SLICE_ENTRIES + 100
    file = tmp_path / "alice.ndjson"
    with RunningBroker(tmp_path) as broker:
        broker.create_users("alice", "bob")
        talk(broker, count)
        lines = export(broker, "alice", file)
        broker.ask("users", "remove", "alice", "--yes")
        with file.open("rb") as stream, pytest.raises(Failure) as caught:
            Importing(
                broker.api,
                ExportReader(stream, str(file)),
                dry_run=False,
                progress=lambda *_: killed_after(broker, slices),  # type: ignore[arg-type]
            ).run()
        assert caught.value.exit_code == EX_UNAVAILABLE
        assert "go on with the same command, or undo it with `roost users remove alice`" in caught.value.message
    with RunningBroker(tmp_path) as broker:
        assert json.loads(broker.ask("users", "show", "alice", "--json").stdout)["importing"]
        refused = broker.ask("users", "enable", "alice")
        assert refused.exit_code == EX_TEMPFAIL
        assert "'alice' is being imported" in refused.stderr
        fsck(broker)
        done = broker.ask("import", str(file), "--json")
        assert done.exit_code == 0, done.stderr
        report = json.loads(done.stdout, object_hook=None)
        before = min(slices * SLICE_ENTRIES, count)
        assert (report["entries"], report["before"], report["shared"]) == (count, before, count - before)
        assert entries(export(broker, "alice", tmp_path / "again")) == entries(lines)
        fsck(broker)


def test_a_cut_import_takes_no_other_file(tmp_path: Path, broker: RunningBroker) -> None:
    broker.create_users("cut", "bob")
    talk(broker, 3, "cut")
    lines = export(broker, "cut", tmp_path / "cut")
    broker.ask("users", "remove", "cut", "--yes")
    whole = "\n".join([*lines, ""])
    short = command("--socket", str(broker.socket), "import", "-", input_="\n".join(lines[:4]) + "\n")
    assert short.exit_code == EX_DATAERR
    assert "standard input was cut short: it ends after 2 entries" in short.stderr
    assert "go on with the same command" in short.stderr
    state = [row for row in broker.ask("users", "list").stdout.splitlines() if row.startswith("cut ")]
    assert state[0].endswith("importing")
    other = command("--socket", str(broker.socket), "import", "-", input_=whole.replace('"head":3', '"head":4'))
    assert other.exit_code == EX_DATAERR
    assert "was begun from another export" in other.stderr
    assert broker.ask("users", "remove", "cut", "--yes").exit_code == 0
    again = command("--socket", str(broker.socket), "import", "-", input_=whole)
    assert again.exit_code == 0, again.stderr
    fsck(broker)


def test_a_bad_file_begins_nothing(tmp_path: Path, broker: RunningBroker) -> None:
    file = tmp_path / "bad.ndjson"
    missing = broker.ask("import", str(file))
    assert (missing.exit_code, missing.stderr) == (EX_NOINPUT, f"roost: {file}: No such file or directory\n")
    assert broker.ask("import", str(tmp_path)).exit_code == EX_NOINPUT
    account = '{"kind":"account","account":{"name":"zoe","created":1,"disabled":false,"incarnation":"%s",' % ("0" * 16)
    file.write_text(account + '"floor":1,"head":2}}\n{"kind":"entry","entry":{"seq":1,"kind":"nonsense"}}\n')
    bad = broker.ask("import", str(file))
    assert bad.exit_code == EX_DATAERR
    assert bad.stderr.startswith(f"roost: {file}, line 2: not a record of an export: Invalid enum value 'nonsense'")
    assert broker.ask("users", "show", "zoe").exit_code != 0
    entry = (
        '{"kind":"entry","entry":{"seq":1,"kind":"own","entry":'
        '{"id":"%016x","from":"zoe","to":"user/bob","time":1,"text":"%s"}}}'
    )
    file.write_text(
        account + '"floor":1,"head":1}}\n\n' + entry % (7 << 20, "x" * 150_000) + '\n{"kind":"end","end":1}\n'
    )
    for how in ((), ("--dry-run",)):
        large = broker.ask("import", str(file), *how)
        assert large.exit_code == EX_DATAERR
        assert "line 3: entry 1: its body has 150000 bytes; at most 131072 are allowed here" in large.stderr
    file.write_text(
        account + '"floor":1,"head":1}}\n' + entry % (7 << 20, "x" * 250_000) + '\n{"kind":"end","end":1}\n'
    )
    assert "raise its limit http_body_bytes_max" in broker.ask("import", str(file)).stderr
    broker.ask("users", "remove", "zoe", "--yes")
