"""Mosquitto, from Debian: what an embedded user would pick instead. In C, MQTT, one thread.

With persistence on and an `autosave_interval` of one second it writes its whole database anew, with a sync, every
two seconds (seen with strace: fsync and rename, two seconds apart), and not before it acknowledges a message: what it
has acknowledged since is lost with the machine, and with the process if that is killed. Its one thread waits for that
sync, which is in its latencies.
"""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from roost_benchmarks.brokers.port import allow_files, free_port, listens, stop, wait_until
from roost_benchmarks.dialects.mqtt import MqttDialect
from roost_benchmarks.peers import program
from roost_benchmarks.target import Target

CONFIGURATION = """\
user root
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {folder}/
autosave_interval 1
max_inflight_messages 0
max_queued_messages 0
set_tcp_nodelay true
log_dest none
"""


class Mosquitto:
    """See `Broker`. Anybody may log in, so it needs no accounts."""

    name = "mosquitto"

    @contextmanager
    def start(self, folder: Path, users: Sequence[str]) -> Iterator[Target]:
        """See `Broker.start`."""
        path = program(self.name)
        if path is None:
            raise RuntimeError("mosquitto is not installed")
        port = free_port()
        config = folder / "mosquitto.conf"
        config.write_text(CONFIGURATION.format(port=port, folder=folder))
        allow_files()
        process = subprocess.Popen([path, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: listens(port), process, "mosquitto")
            yield Target(
                name=self.name,
                version=_version(path),
                durability="none before it acknowledges: its database is written and synced every two seconds",
                dialect=MqttDialect(),
                address=("127.0.0.1", port),
                pids=(process.pid,),
                users=tuple(users),
                password=lambda _: "",
            )
        finally:
            stop(process)


def _version(path: str) -> str:
    shown = subprocess.run([path, "-h"], capture_output=True, text=True, check=False)
    first = (shown.stdout or shown.stderr).partition("\n")[0]
    return first.removeprefix("mosquitto version ").strip()
