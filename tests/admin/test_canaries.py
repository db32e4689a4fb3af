"""Secrets with a mark, at a real broker that logs everything: whatever is driven, the mark is nowhere to be found.

Passwords, device tokens, an admin's token, JWTs and the secret they are signed with, the key of the certificate: right
and wrong, over every way in. Then everything that anybody could read is searched: the log, the audit log, the journal,
the metrics, each answer of the admin API, what `/proc` shows of broker and commands, and the store itself.
"""

import base64
import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio

import roost
from admin.running import CHEAP, COMMAND, WAIT_S, RunningBroker, environment
from broker.over_websocket import answer_to
from broker.signing import AUDIENCE, claims, signed, write_secret
from broker.test_certificates import AUTHORITY, issue
from roost_protocol.admin.admins import ADMINS_ADD, AdminAdd
from roost_protocol.admin.table import ROUTES

pytestmark = pytest.mark.process

PASSWORD = "canary-right-password-4d1f"
NEW_PASSWORD = "canary-new-password-77aa"
WRONG_PASSWORD = "canary-wrong-password-9e02"
SECRET = b"canary-secret-of-the-sign-on-0c6b9d27f1"
WRONG_TOKEN = "canary-wrong-device-token-33"
WRONG_ADMIN_TOKEN = "canary-wrong-admin-token-81"
WRONG_JWT_KEY = b"canary-another-secret-5521-of-32-bytes-or-more"

MOMENT_S = 0.5
EVENTS = 3
"""Of an answer that goes on, so much is read: so many events, or what comes until it is silent for a moment."""

CONFIG = """
log_level = "DEBUG"
admin_listen = "127.0.0.1:0"
web_listen = "127.0.0.1:0"
web_admin = true
[tls]
certificate = "{certificate}"
key = "{key}"
[jwt]
secret = "{secret}"
audience = "{audience}"
leeway_s = 60
"""


class Driven:
    """A broker that was put through everything, what it has said, and the secrets that were used."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        tls = issue(folder, "localhost")
        secret = write_secret(folder, SECRET)
        config = CONFIG.format(certificate=tls.certificate, key=tls.key, secret=secret, audience=AUDIENCE)
        self.broker = RunningBroker(folder, config=config + CHEAP)
        self.context = ssl.create_default_context()
        AUTHORITY.configure_trust(self.context)
        self.said: dict[str, str] = {}
        """What anybody could read, by where it was read."""
        key_lines = Path(tls.key).read_text().splitlines()
        self.secrets = {
            "the right password": PASSWORD,
            "the new password": NEW_PASSWORD,
            "the wrong password": WRONG_PASSWORD,
            "the secret of the sign-on": SECRET.decode(),
            "the wrong token": WRONG_TOKEN,
            "the wrong token of an admin": WRONG_ADMIN_TOKEN,
            "the wrong secret": WRONG_JWT_KEY.decode(),
            "the key of the certificate": max(key_lines, key=len),
        }

    def server(self, address: str) -> tuple[str, int]:
        return "localhost", int(address.rpartition(":")[2])

    # --- commands ---

    def run(self, name: str, *args: str, password: str | None = None) -> str:
        """A command of this broker's, in a process; what it says is kept, and what `/proc` shows of it."""
        reading, writing = os.pipe()
        more = ("--password-fd", str(reading)) if password is not None else ()
        process = subprocess.Popen(
            [*COMMAND, "--socket", str(self.broker.socket), *args, *more],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=(reading,),
            env=environment(self.folder), text=True,
        )  # fmt: skip
        os.close(reading)
        if password is not None:  # until it has this, it waits
            wait_until_it_runs(process.pid)
            self.said[f"/proc of {name}"] = of_process(process.pid)
            os.write(writing, password.encode() + b"\n")
        os.close(writing)
        out, _ = process.communicate(timeout=WAIT_S)
        self.said[name] = out
        return out

    # --- devices ---

    async def log_in(self) -> None:
        """Log-ins over TCP, good and bad, and a change of password."""
        server = self.server(self.broker.address)
        common: dict[str, Any] = {"tls": self.context, "terminal": "pc"}
        async with roost.connect(server, user="alice", password=PASSWORD, want_token=True, device="d", **common) as one:
            self.secrets["a device's token"] = token = str(one.token)
            await one.publish("user/bob", "hi")
        async with roost.connect(server, user="alice", token=token, device="d", **common) as again:
            await again.set_password(PASSWORD, NEW_PASSWORD)
            with suppress(roost.RequestRefused):
                await again.set_password(WRONG_PASSWORD, PASSWORD)
        good = self._jwt("the right JWT", SECRET, sub="alice")
        async with roost.connect(server, user="alice", jwt=good, **common):
            pass
        for credential in (
            {"password": WRONG_PASSWORD},
            {"token": WRONG_TOKEN},
            {"jwt": self._jwt("a JWT with a wrong signature", WRONG_JWT_KEY)},
            {"jwt": self._jwt("a JWT of the past", SECRET, exp=1)},
            {"jwt": self._jwt("a JWT for another audience", SECRET, aud="other")},
        ):
            for user in ("alice", "nobody"):
                with pytest.raises(roost.LoginRefused) as refused:
                    async with roost.connect(server, user=user, **credential, **common):  # type: ignore[arg-type]
                        pass
                self.said[f"refusal {len(self.said)}"] = f"{refused.value!r} {refused.value}"

    def _jwt(self, what: str, key: bytes, **claimed: Any) -> str:
        jwt = signed(key, claims(**{"exp": int(time.time()) + 600, **claimed}))
        self.secrets[what] = jwt.rpartition(".")[2]
        return jwt

    async def log_in_over_websocket(self) -> None:
        """Log-ins as browsers do, and what is no log-in at all."""
        address = self.server(self.broker.web_address)
        connect = {"frame": "CONNECT", "user": "alice", "terminal": "web", "device": "w"}
        for said in (
            {**connect, "password": NEW_PASSWORD},
            {**connect, "password": WRONG_PASSWORD},
            {**connect, "jwt": "canary-wrong-device-token-33.x.y"},
            {**connect, "password": [WRONG_PASSWORD]},
            {**connect, "password": WRONG_PASSWORD, "token": WRONG_TOKEN},
            {**connect, "password": WRONG_PASSWORD * 20},
            {"frame": "PING", "password": WRONG_PASSWORD},
        ):
            with trio.fail_after(WAIT_S):
                self.said[f"answer {len(self.said)}"] = await answer_to(address, said, self.context)

    # --- admins ---

    def drive_admins(self) -> None:
        """Commands with passwords, admins with tokens right and wrong, and configurations that cannot be used."""
        self.run("users add", "users", "add", "dora", password=WRONG_PASSWORD)
        self.run("users add again", "users", "add", "dora", password=PASSWORD)
        self.run("users passwd", "users", "passwd", "dora", password=NEW_PASSWORD)
        added = self.broker.api.ask(ADMINS_ADD, body=AdminAdd(name="ann", role="admin"))
        self.secrets["the token of an admin"] = token = added.token
        self.run("check", "check", "--user", "alice", password=WRONG_PASSWORD)
        for address in (self.broker.admin_address, self.broker.web_address):
            for header in (f"Bearer {WRONG_ADMIN_TOKEN}", f"Basic {WRONG_ADMIN_TOKEN}", WRONG_ADMIN_TOKEN, "Bearer"):
                self.get(address, "/v1/status", header)
            self.get(address, f"/v1/users?token={WRONG_ADMIN_TOKEN}", f"Bearer {token}", keep=False)
            for path in GETS:
                self.get(address, path, f"Bearer {token}")
        for path in ("/metrics", "/livez", "/readyz", "/v1/openapi.json"):
            self.get(self.broker.web_address, path, f"Bearer {token}")
        bad = json.dumps({"name": "eve", "password": 7, "pass": WRONG_PASSWORD})
        self.post("/v1/users", bad, token)
        self.post("/v1/users", json.dumps({"name": "a/b", "password": WRONG_PASSWORD}), token)
        self.post("/v1/users", '{"name": "eve", "password": "' + WRONG_PASSWORD, token)

    def get(self, address: str, path: str, authorization: str | None, *, keep: bool = True) -> None:
        """An answer of the admin API; of one that goes on, what comes within a moment."""
        timeout_s = MOMENT_S if path in STREAMS else WAIT_S
        connection = http.client.HTTPSConnection(*self.server(address), context=self.context, timeout=timeout_s)
        connection.request("GET", path, headers={} if authorization is None else {"authorization": authorization})
        response = connection.getresponse()
        body = b""
        with suppress(TimeoutError):  # of what goes on, nothing more comes for now
            while path in STREAMS and body.count(b"\n\n") < EVENTS and (data := response.read1()):
                body += data
        if path not in STREAMS:
            body = response.read()
        response.close()
        connection.close()
        if keep:
            self.said[f"GET {path} {len(self.said)}"] = f"{response.headers}\n{body.decode()}"

    def post(self, path: str, body: str, token: str) -> None:
        """An answer to something that cannot be done."""
        host = self.server(self.broker.admin_address)
        connection = http.client.HTTPSConnection(*host, context=self.context, timeout=WAIT_S)
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        connection.request("POST", path, body, headers)
        self.said[f"POST {path} {len(self.said)}"] = connection.getresponse().read().decode()
        connection.close()

    def reload_badly(self) -> None:
        """A secret that is too short, one that others may read, and something else in its place."""
        for secret, mode in ((b"canary-short", 0o600), (SECRET, 0o644), (b"-----BEGIN canary-key" + SECRET, 0o600)):
            write_secret(self.folder, secret, mode)
            assert "jwt.secret" in self.run(f"reload {len(self.said)}", "reload")
        self.secrets["a bad secret"] = "canary-short"
        self.secrets["something else in its place"] = "canary-key"
        write_secret(self.folder, SECRET)
        self.run("reload", "reload")

    # --- what is left ---

    def look(self) -> None:
        """Everything that is to be read of it, while it runs and after."""
        for name, args in {
            "config show": ("config", "show", "--effective", "--long"),
            "config show as JSON": ("config", "show", "--effective", "--json"),
            "events": ("events", "--json"),
            "tokens list": ("tokens", "list"),
            "devices list": ("devices", "list", "alice", "--json"),
            "admins list": ("admins", "list", "--json"),
            "users show": ("users", "show", "alice", "--json"),
            "inbox": ("inbox", "show", "alice", "--bodies"),
        }.items():
            self.run(name, *args)
        self.said["/proc of the broker"] = of_process(self.broker.process.pid)
        assert self.broker.stop() == 0
        self.said["the log"] = self.broker.log.read_text()
        for path in sorted(self.broker.data.rglob("*")):
            if path.is_file():
                self.said[str(path.relative_to(self.folder))] = path.read_bytes().decode("latin-1")


PLACES: Mapping[str, str] = {
    "user": "alice", "terminal": "pc", "group": "team", "seq": "1", "id": "0" * 16, "device": "d", "n": "1",
}  # fmt: skip


def place(path: str) -> str:
    return re.sub(r"{(\w+)}", lambda found: PLACES[found[1]], path)


GETS = [place(route.path) for route in ROUTES if route.method == "GET"]
STREAMS = {place(route.path) for route in ROUTES if route.method == "GET" and route.streams}


def wait_until_it_runs(pid: int) -> None:
    """Between fork and exec a process shows what its parent was. There is nothing to wait on."""
    end = time.monotonic() + WAIT_S
    while b"roost_admin" not in (Path("/proc") / str(pid) / "cmdline").read_bytes():
        assert time.monotonic() < end
        time.sleep(0.001)


def of_process(pid: int) -> str:
    """What `ps` can show of a process."""
    return " ".join((Path("/proc") / str(pid) / name).read_bytes().decode() for name in ("cmdline", "environ"))


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driven]:
    made = Driven(tmp_path_factory.mktemp("canaries"))
    with made.broker:
        for name in ("alice", "bob"):
            made.run(f"users add {name}", "users", "add", name, password=PASSWORD)
        trio.run(made.log_in)
        trio.run(made.log_in_over_websocket)
        made.drive_admins()
        made.reload_badly()
        made.look()
        yield made


def forms(secret: str) -> list[str]:
    """As it is, and as it may hide: in base64, percent-encoded, in a `repr`, as hexadecimal digits."""
    raw = secret.encode()
    return [secret, repr(secret)[1:-1], base64.b64encode(raw).decode().rstrip("=")[:-1], raw.hex()]


def test_no_secret_is_anywhere(driven: Driven) -> None:
    assert len(driven.said) > 100
    assert len(driven.secrets) > 12
    found = [
        f"{what} in {where}"
        for where, text in driven.said.items()
        for what, secret in driven.secrets.items()
        for form in forms(secret)
        if form in text
    ]
    assert not found


def test_nor_is_any_word_of_a_canary(driven: Driven) -> None:
    """Not a part of one either, such as what was cut off."""
    assert not [where for where, text in driven.said.items() if "canary" in text]


def test_it_was_looked_where_something_is_said(driven: Driven) -> None:
    """That nothing was found means something: the log speaks of each log-in, and the answers were answers."""
    log = driven.said["the log"]
    for words in ("logged in on pc", "user name or password is wrong", "its signature is wrong", "it has expired"):
        assert words in log, words
    assert "POST /v1/users" in driven.said["data/audit.log"]
    assert '"level": "debug"' in log
    answered = [text for where, text in driven.said.items() if where.startswith("GET /v1/users/alice ")]
    assert any('"name":"alice"' in text for text in answered)
    assert "--password-fd" in driven.said["/proc of users add"]
    assert "serve" in driven.said["/proc of the broker"]
    assert driven.said["data/data.mdb"].count("alice") > 0
    assert "roost_" in next(text for where, text in driven.said.items() if where.startswith("GET /metrics"))


# --- nobody forges a line, nor steers a terminal ------------------------------------------------------------------

EVIL = 'x\n{"level": "forged"}\r\x1b[2J\x1b]0;owned\x07\x9b31m\u2028forged\u2029\u0085\u202egnp\x7f'

STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(scope="module")
def provoked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    folder = tmp_path_factory.mktemp("provoked")
    config = 'log_level = "DEBUG"\nweb_listen = "127.0.0.1:0"\nweb_admin = true\n'
    with RunningBroker(folder, config=config + CHEAP) as broker:
        broker.create_users("alice", "bob")
        trio.run(provoke, broker)
        for raw in (
            b"GET /\x1b[2J HTTP/1.1\r\nhost: x\r\n\r\n",
            b"GET /chat/?\x9b31m HTTP/1.1\r\nhost: \x1b[2J\r\norigin: http://\xe2\x80\xa8\x1b[2J\r\n\r\n",
            b"GET /ws HTTP/1.1\r\nhost: x\r\norigin: http://evil\x9b2J\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-version: \x9b2J\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
            b"POST /csp-report HTTP/1.1\r\nhost: x\r\ncontent-type: application/csp-report\r\n"
            b"content-length: 84\r\n\r\n"
            b'{"csp-report": {"effective-directive": "img-src", "blocked-uri": "\\n\\u001b[2J\\u2028"}}',
        ):
            say_raw(broker.web_address, raw)
        yield broker


async def provoke(broker: RunningBroker) -> None:
    """Put what steers terminals into everything that a device or an admin may choose."""
    common: dict[str, Any] = {"terminal": "pc", "password": "correct horse"}
    async with (
        roost.connect(broker.address, user="alice", client=EVIL[:60], **common) as alice,
        roost.connect(broker.address, user="bob", **common) as bob,
    ):
        await alice.publish("user/bob", EVIL)
        async for event in bob:
            if isinstance(event, roost.Message):
                break
        await trio.to_thread.run_sync(kick_with_a_reason, broker)
    for name in ("user", "terminal", "device"):
        odd = {"user": "alice", "terminal": "pc", "device": "d", "password": "x", "frame": "CONNECT", name: EVIL}
        host, _, port = broker.web_address.rpartition(":")
        with trio.fail_after(WAIT_S):
            await answer_to((host, int(port)), odd)


def kick_with_a_reason(broker: RunningBroker) -> None:
    broker.ask("sessions", "kick", "alice", "pc", "--reason", EVIL)


def say_raw(address: str, raw: bytes) -> None:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), WAIT_S) as stream:
        stream.sendall(raw)
        stream.shutdown(socket.SHUT_WR)
        while stream.recv(65_536):
            pass


def test_every_line_of_the_logs_is_one_that_the_broker_wrote(provoked: RunningBroker) -> None:
    for log in (provoked.log, provoked.data / "audit.log"):
        text = log.read_bytes().decode()
        lines = text.splitlines()  # at every kind of line break that Unicode knows
        assert len(lines) == text.count("\n")
        assert lines
        for line in lines:
            assert json.loads(line).get("level") != "forged"
            assert not STEERING.search(line), (log, line)


@pytest.mark.parametrize("as_json", [(), ("--json",)], ids=["table", "JSON"])
@pytest.mark.parametrize(
    "args",
    [
        ("events",),
        ("devices", "list", "alice"),
        ("sessions", "history", "alice"),
        ("inbox", "show", "alice", "--bodies"),
        ("users", "show", "alice"),
        ("users", "show", "no\x1b[2J\u2028"),
    ],
    ids=lambda args: " ".join(args[:2]),
)
def test_no_command_hands_it_on_to_the_terminal(
    provoked: RunningBroker, args: tuple[str, ...], as_json: tuple[str, ...]
) -> None:
    said = provoked.ask(*args, *as_json)
    assert said.stdout or said.stderr
    for text in (said.stdout, said.stderr):
        assert not STEERING.search(text), text
        assert "\nforged" not in text
    if as_json and said.exit_code == 0:
        one_a_line = args[0] == "events" or args[1] == "history"
        for document in said.stdout.splitlines() if one_a_line else [said.stdout]:
            json.loads(document)
