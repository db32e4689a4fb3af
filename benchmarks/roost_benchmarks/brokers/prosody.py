"""Prosody, from Debian: the same job (both sides archived, copies to the other devices), in Lua, without a sync.

Its accounts are files, written before it starts. A group message is written to each member by the sender: a chat room
would send it to everybody, but would not keep it in everybody's archive, which is the job.

Its archive takes 10,000 messages of a user by default. When it is full, the whole file is read, cut to 9,900 and
written anew (mod_mam, mod_storage_internal), and again after every hundred messages: measured, 2.9 s of its processor
time for the two sides of one message. A fast sender gets there within a run. The bound is far off here, to be fair.
"""

import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from roost_benchmarks.brokers.port import PASSWORD, START_S, allow_files, free_port, listens, stop, wait_until
from roost_benchmarks.dialects.xmpp import DOMAIN, XmppDialect
from roost_benchmarks.peers import program
from roost_benchmarks.target import Target

CONFIGURATION = """\
run_as_root = true
pidfile = "{folder}/prosody.pid"
data_path = "{folder}/data"
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {port} }}
s2s_ports = {{ }}
modules_enabled = {{ "saslauth", "carbons", "mam", "roster", "presence", "message", "iq", "c2s" }}
modules_disabled = {{ "s2s" }}
storage = "internal"
authentication = "internal_plain"
allow_unencrypted_plain_auth = true
c2s_require_encryption = false
default_archive_policy = true
storage_archive_item_limit = 100000000
limits = {{ }}
log = {{ {{ levels = {{ min = "error" }}, to = "file", filename = "{folder}/prosody.log" }} }}
VirtualHost "{domain}"
"""


class Prosody:
    """See `Broker`."""

    name = "prosody"

    @contextmanager
    def start(self, folder: Path, users: Sequence[str]) -> Iterator[Target]:
        """See `Broker.start`."""
        path = program(self.name)
        if path is None:
            raise RuntimeError("prosody is not installed")
        port = free_port()
        config = folder / "prosody.cfg.lua"
        config.write_text(CONFIGURATION.format(port=port, folder=folder, domain=DOMAIN))
        _write_accounts(folder / "data" / DOMAIN / "accounts", users)
        allow_files()
        command = [path, "--config", str(config), "-F"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        groups: dict[str, Sequence[str]] = {}
        try:
            wait_until(lambda: listens(port), process, "prosody")
            yield Target(
                name=self.name,
                version=_version(path),
                durability="none: its archive is written to files without a sync",
                dialect=XmppDialect(groups),
                address=("127.0.0.1", port),
                pids=(process.pid,),
                users=tuple(users),
                password=lambda _: PASSWORD,
                make_group=groups.__setitem__,
            )
        finally:
            stop(process)


def _write_accounts(folder: Path, users: Sequence[str]) -> None:
    folder.mkdir(parents=True)
    for user in users:
        name = re.sub(r"[^A-Za-z0-9]", lambda found: f"%{ord(found[0]):02x}", user)
        (folder / f"{name}.dat").write_text(f'return {{ ["password"] = "{PASSWORD}"; }};\n')


def _version(path: str) -> str:
    """As its control program tells it: `prosody --version` would start a server."""
    command = [str(Path(path).with_name("prosodyctl")), "about"]
    shown = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=START_S
    )
    found = re.search(r"^Prosody (\S+)", shown.stdout, re.MULTILINE)
    return found[1] if found else "unknown"
