"""`docs/operations.md`: every command that it shows is run, from the first to the last, on real brokers."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio

import roost
from admin.running import COMMAND, PASSWORD, WAIT_S, RunningBroker, command, environment
from roost_admin.main import INTERRUPTED

pytestmark = pytest.mark.process

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text("utf-8")

ELSEWHERE = {
    "roost serve": "every broker here is one",
    "roost bench disk /var/lib/roost": "tests/admin/test_bench.py",
}
"""Commands that are not run here, and where they are."""

ANSWERS = {
    "users add ": "--password-fd 3 3<password",
    "users passwd ": "--password-fd 3 3<password",
    "users remove ": "--yes",
    "erase ": "--yes",
}
"""What stands for what a person would type."""

LIVE = ("--follow", "top --interval")
"""Commands that go on until Ctrl-C."""


def commands() -> Iterator[str]:
    """Each `roost` line of the page, without its comment."""
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        for line in re.findall(r"^\$ (.*)$", block, re.MULTILINE):
            text = re.sub(r"\s+# .*", "", line).strip()
            if text.startswith("roost "):
                yield text


class Site:
    """A machine: a broker that runs, a data folder of one that does not, and whoever is logged in."""

    def __init__(self, root: Path, running: ExitStack) -> None:
        self.root = root
        self._running = running
        (root / "bin").mkdir()
        tool = root / "bin/roost"
        tool.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
        tool.chmod(0o755)
        for name in ("password", "monitor.password"):
            (root / name).write_text(f"{PASSWORD}\n")
        self._stopped_store()
        self.start()
        self.broker.create_users("bob", "carol", "dave", "mallory", "leaver", "monitor")
        self.message = json.loads(self.run("roost send --from bob --to user/bob hello --json").stdout)["id"]

    def _stopped_store(self) -> None:
        (self.root / "etc").mkdir()
        (self.root / "etc/roost.toml").write_text("drain_s = 2.0\n")
        folder = self.root / "var/lib"
        for each in (folder, self.root / "var/backups", self.root / "srv", self.root / "backups"):
            each.mkdir(parents=True)
        with RunningBroker(folder) as broker:
            broker.create_users("alice")
            assert broker.stop() == 0
        broker.data.rename(folder / "roost")
        made = command("--data", str(folder / "roost"), "backup", str(self.root / "backups/monday"))
        assert made.exit_code == 0, made.output

    def start(self) -> None:
        """Start the broker, perhaps again."""
        folder = self.root / "running"
        folder.mkdir(exist_ok=True)
        config = 'admin_listen = "127.0.0.1:0"\n[passwords]\nmemory_kib = 64\npasses = 1\n'
        self.broker = self._running.enter_context(RunningBroker(folder, config=config))

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line in a shell, in the folder of the site. A live view is ended when it has shown something."""
        here = environment(self.root) | {"ROOST_SOCKET": str(self.broker.socket), "HOME": str(self.root)}
        here |= {"PATH": f"{self.root}/bin:{os.environ['PATH']}", "XDG_CONFIG_HOME": str(self.root)}
        with subprocess.Popen(
            ["bash", "-c", f"umask 077; exec {line}" if ">" not in line else f"umask 077; {line}"],
            env=here, cwd=self.root, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            shown = ""
            if any(word in line for word in LIVE):
                assert process.stdout is not None
                shown = process.stdout.readline()
                process.send_signal(signal.SIGINT)
            out, said = process.communicate(timeout=WAIT_S)
        return subprocess.CompletedProcess(line, process.returncode, shown + out, said)

    def local(self, text: str) -> str:
        """The line with the folders, numbers and ids of this site, and with what a person would type."""
        line = re.sub(r"(?<=[ =])/(?=(etc|var|srv|backups)/)", f"{self.root}/", text)
        line = line.replace("0193a5c2f1e80004", self.message).replace(" 1234", " 1")
        line = line.replace("127.0.0.1:7399", self.broker.admin_address)
        more = next((answer for verb, answer in ANSWERS.items() if f"roost {verb}" in line), "")
        return f"{line} {more}".strip()


async def with_a_session(site: Site, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line while alice is logged in on her pc, if she may be."""
    try:
        async with roost.connect(
            site.broker.address, user="alice", terminal="pc", device="pc-1", password=PASSWORD, want_token=True,
            reconnect=False,
        ) as session:  # fmt: skip
            await session.publish("user/bob", "hello")
            return await trio.to_thread.run_sync(site.run, line)
    except* roost.RoostError:
        pass
    return await trio.to_thread.run_sync(site.run, line)


def test_every_command_of_the_page_runs(tmp_path: Path) -> None:
    ran = 0
    with ExitStack() as running:
        site = Site(tmp_path, running)
        for text in commands():
            if text in ELSEWHERE:
                continue
            line = site.local(text)
            done = trio.run(with_a_session, site, line)
            expected = INTERRUPTED if any(word in line for word in LIVE) else 0
            assert done.returncode == expected, f"{text}: {done.returncode}\n{done.stdout}\n{done.stderr}"
            assert "Traceback" not in done.stderr
            ran += 1
            if "drain" in text:
                site.start()
    assert ran > 60
