"""`roost reload` and SIGHUP on a real process: in force, or as it was."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

import roost
from admin.running import CHEAP, PASSWORD, WAIT_S, RunningBroker
from admin.test_serve import wait_for_line
from roost_admin.failures import EX_CONFIG

pytestmark = pytest.mark.process


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RunningBroker]:
    """A broker for one test."""
    with RunningBroker(tmp_path, config="drain_s = 4\n" + CHEAP) as broker:
        broker.create_users("alice")
        yield broker


def rewrite(broker: RunningBroker, text: str) -> None:
    (broker.folder / "roost.toml").write_text(text)


def effective(broker: RunningBroker, key: str) -> object:
    rows = json.loads(broker.ask("config", "show", "--effective", "--json").stdout)["values"]
    (value,) = (row["value"] for row in rows if row["key"] == key)
    return value


def test_what_can_change_changes_and_what_cannot_is_listed(own: RunningBroker) -> None:
    rewrite(
        own,
        'log_level = "ERROR"\nterminal_types = ["pc"]\ndrain_s = 4\n[limits]\npublish_max = 8\nkeepalive_s = 30\n'
        + CHEAP,
    )
    done = own.ask("reload")
    assert done.exit_code == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "KEY",
        "terminal_types",
        "log_level",
        "limits.keepalive_s",
        "limits.publish_max",
    ]
    assert "roost: needs a restart: limits.publish_max\n" in done.stderr
    assert (effective(own, "log_level"), effective(own, "limits.publish_max")) == ("ERROR", 256)
    assert "256 (8 after a restart)" in own.ask("config", "show", "--effective").stdout

    async def log_in(terminal: str) -> None:
        with trio.fail_after(WAIT_S):
            async with roost.connect(own.address, user="alice", terminal=terminal, password=PASSWORD):
                pass

    with pytest.raises(roost.LoginRefused):
        trio.run(log_in, "phone")
    trio.run(log_in, "pc")
    logged, _, after = own.log.read_text().rpartition("configuration reloaded, 3 values changed")
    assert "log_level = 'ERROR', was 'INFO'" in logged
    assert '"level": "info"' not in after, "two log-ins later"
    document = json.loads(own.ask("reload", "--json").stdout)
    assert (document["applied"], [each["key"] for each in document["needs_restart"]]) == ([], ["limits.publish_max"])


def test_a_reload_that_fails_keeps_what_was(own: RunningBroker) -> None:
    rewrite(own, "drain_s = 3\nlisen = 1\n[limits]\nfetch_max = 0\n" + CHEAP)
    done = own.ask("reload")
    assert (done.exit_code, done.stdout) == (EX_CONFIG, "")
    assert "unknown key 'lisen'; did you mean listen?" in done.stderr
    assert "limits.fetch_max = 0" in done.stderr
    assert effective(own, "drain_s") == 4
    assert "unknown key 'lisen'" in own.log.read_text()
    (own.folder / "roost.toml").unlink()
    assert own.ask("reload").exit_code == EX_CONFIG
    assert effective(own, "drain_s") == 4
    rewrite(own, "drain_s = 3\n" + CHEAP)
    assert own.ask("reload").exit_code == 0
    assert effective(own, "drain_s") == 3


def test_sighup_is_the_same(own: RunningBroker) -> None:
    rewrite(own, "drain_s = 3\n" + CHEAP)
    own.process.send_signal(signal.SIGHUP)
    wait_for_line(own.log, "configuration reloaded, 1 values changed")
    assert effective(own, "drain_s") == 3
    rewrite(own, "drain_s = -3\n" + CHEAP)
    own.process.send_signal(signal.SIGHUP)
    wait_for_line(own.log, "asked for by SIGHUP")
    assert effective(own, "drain_s") == 3
    assert own.stop() == 0


def test_nothing_has_changed(own: RunningBroker) -> None:
    done = own.ask("reload")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "roost: nothing has changed\n")
