"""A broker process that a test in another language disturbs at will: over HTTP, one JSON command at a time."""

import json
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from admin.running import CHEAP, RunningBroker
from broker.signing import write_secret

CONFIG = f"""
# A broker that ends hangs up at once, and trims when a test says so.
drain_s = 0
{CHEAP}
[retention]
count = 5
age_days = 0
interval_s = 100000
[jwt]
audience = "roost"
leeway_s = 0
end_at_expiry = {{end_at_expiry}}
secret = "{{secret}}"
"""
"""Inboxes that are soon full, so that a test of gaps is short; they are trimmed when a test says so."""


class Town:
    """One broker after the other on one data folder, always at the same addresses."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._secret = write_secret(folder)
        self._end_at_expiry = "false"
        self._saved = folder / "saved"
        self._listen = self._web = "127.0.0.1:0"
        self._broker = self._start()
        self._listen, self._web = self._broker.address, self._broker.web_address
        self._acts: dict[str, Callable[..., object]] = {
            "users": self._users,
            "roost": self._roost,
            "stop": self._stop,
            "kill": lambda: self._stop(signal.SIGKILL),
            "start": self._again,
            "rise": self._rise,
            "end_at_expiry": self._end_sessions_at_expiry,
            "save": self._save,
            "go_back": self._go_back,
        }

    @property
    def address(self) -> str:
        """Where devices find the broker over TCP."""
        return self._listen

    @property
    def web_address(self) -> str:
        """Where browsers find the broker."""
        return self._web

    def act(self, name: str, *args: object) -> object:
        """Do what a test asks for: the name of an act, and its arguments."""
        return self._acts[name](*args)

    def close(self) -> None:
        """End the broker."""
        self._broker.__exit__()

    def _start(self) -> RunningBroker:
        config = CONFIG.format(secret=self._secret, end_at_expiry=self._end_at_expiry)
        return RunningBroker(self._folder, "--web", self._web, listen=self._listen, config=config)

    def _end_sessions_at_expiry(self, end: bool) -> None:
        """Whether a JWT that runs out ends the session, from the next start on."""
        self._end_at_expiry = "true" if end else "false"

    def _users(self, *names: str) -> None:
        self._broker.create_users(*names)

    def _roost(self, *args: str) -> dict[str, object]:
        result = self._broker.ask(*args)
        return {"status": result.exit_code, "output": result.output}

    def _stop(self, number: int = signal.SIGTERM) -> None:
        self._broker.stop(number)
        self._broker.__exit__()

    def _again(self) -> None:
        self._broker = self._start()

    def _rise(self) -> None:
        """Start, if the test before has left it down."""
        if self._broker.process.poll() is not None:
            self._broker.__exit__()
            self._again()

    def _save(self) -> None:
        """Keep the data folder as it is now, as a backup would."""
        self._stop()
        shutil.rmtree(self._saved, ignore_errors=True)
        shutil.copytree(self._broker.data, self._saved)
        self._again()

    def _go_back(self) -> None:
        """Start on what was saved."""
        self._stop()
        shutil.rmtree(self._broker.data)
        self._saved.rename(self._broker.data)
        self._again()


@contextmanager
def controlled(town: Town) -> Iterator[str]:
    """The URL where the town takes commands: a POST of `[name, …arguments]`, answered by JSON."""

    class Commands(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            try:
                status, answer = 200, town.act(*asked)
            except Exception as error:  # noqa: BLE001 - told to the test, which fails by it
                status, answer = 500, repr(error)
            told = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, *_: object) -> None:
            """Say nothing: the test tells what matters."""

    with HTTPServer(("127.0.0.1", 0), Commands) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
