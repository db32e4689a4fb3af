"""`roost contexts` and `--context`: a broker by name, also one far away, and every way of not getting there."""

import json
import os
import shlex
import socket
import ssl
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which

import pytest
from click.testing import Result

from admin.running import CHEAP, RunningBroker, command
from admin.test_api import answer, whole_request
from admin.test_commands import ARGUMENTS
from roost_admin.contexts_file import FILE_BYTES_MAX
from roost_admin.failures import EX_CONFIG, EX_NOINPUT, EX_NOPERM, EX_UNAVAILABLE, EX_USAGE

pytestmark = pytest.mark.process

TOKEN = "a-token"

NETWORK = 'admin_listen = "127.0.0.1:0"\n' + CHEAP


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    with RunningBroker(tmp_path_factory.mktemp("broker"), config=NETWORK) as running:
        yield running


class Home:
    """Somebody's configuration, and commands that find it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "roost" / "contexts.toml"

    def run(self, *args: str, **env: str) -> Result:
        return command(*args, env={"XDG_CONFIG_HOME": str(self.folder), **env})

    def keep(self, text: str, mode: int = 0o600) -> None:
        """Put this into the file of contexts."""
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_text(text, "utf-8")
        self.file.chmod(mode)

    def token_file(self, token: str = TOKEN, mode: int = 0o600) -> Path:
        path = self.folder / "token"
        path.write_text(token + "\n")
        path.chmod(mode)
        return path


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def add_admin(broker: RunningBroker, name: str, role: str) -> str:
    added = broker.ask("admins", "add", name, "--role", role)
    assert added.exit_code == 0, added.stderr
    return added.stdout.strip()


# --- a broker by name ---


def test_every_command_works_through_a_context(broker: RunningBroker, home: Home) -> None:
    token = home.token_file(add_admin(broker, "every", "admin"))
    args = ("contexts", "add", "prod", "--url", f"http://{broker.admin_address}", "--token-file", str(token))
    assert home.run(*args).exit_code == 0
    assert home.run("contexts", "add", "here", "--socket", str(broker.socket)).exit_code == 0
    for context in ("prod", "here"):
        status = home.run("--context", context, "status", "--json")
        assert json.loads(status.stdout)["pid"] == broker.process.pid, status.stderr
        assert home.run("users", "list", "--context", context).exit_code == 0
        assert home.run("groups", "list", ROOST_CONTEXT=context).exit_code == 0


def test_the_nearest_counts_and_two_at_once_are_one_too_many(broker: RunningBroker, home: Home) -> None:
    home.keep(f'[here]\nsocket = "{broker.socket}"\n[nowhere]\nsocket = "/nowhere"\n')
    ask = ("status", "--json")
    assert home.run(*ask, ROOST_CONTEXT="here", ROOST_SOCKET="/nowhere").exit_code == 0
    assert home.run(*ask, "--context", "here", ROOST_CONTEXT="nowhere").exit_code == 0
    assert home.run("--context", "nowhere", *ask, "--context", "here").exit_code == 0
    assert home.run("--context", "nowhere", *ask, "--socket", str(broker.socket)).exit_code == 0
    assert home.run(*ask, "--data", str(broker.data), ROOST_CONTEXT="nowhere").exit_code == 0
    assert home.run("--socket", "/nowhere", *ask, "--context", "here").exit_code == 0
    assert home.run(*ask, ROOST_CONTEXT="", ROOST_SOCKET=str(broker.socket)).exit_code == 0
    both = home.run(*ask, "--context", "here", "--socket", str(broker.socket))
    assert (both.exit_code, "either --context" in both.stderr) == (EX_USAGE, True)


def test_what_has_to_be_on_the_machine_takes_no_context(home: Home) -> None:
    home.keep('[here]\nsocket = "/nowhere"\n')
    refused = home.run("--context", "here", "serve", "--listen", "127.0.0.1:0")
    assert (refused.exit_code, "takes no --context" in refused.stderr) == (EX_USAGE, True)


def test_a_role_that_is_too_small_and_a_token_that_is_none(broker: RunningBroker, home: Home) -> None:
    token = home.token_file(add_admin(broker, "small", "read"))
    home.keep(f'[prod]\nurl = "http://{broker.admin_address}"\ntoken_file = "{token}"\n')
    assert home.run("--context", "prod", "status").exit_code == 0
    refused = home.run("--context", "prod", "groups", "create", "g", "--owner", "x")
    assert refused.exit_code == EX_NOPERM
    assert refused.stderr == "roost: small has the role read; POST /v1/groups needs operate\n"
    assert broker.ask("admins", "revoke", "small").exit_code == 0
    revoked = home.run("--context", "prod", "status")
    told = "roost: the bearer token of an admin is needed, and none that counts was shown\n"
    assert (revoked.exit_code, revoked.stderr) == (EX_NOPERM, told)


def test_nobody_there(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    home.keep(f'[prod]\nurl = "http://127.0.0.1:{port}"\ntoken_file = "{home.token_file()}"\n')
    for words, arguments in ARGUMENTS.items():
        if words != ("users", "add"):
            result = home.run("--context", "prod", *words, *arguments)
            assert result.exit_code == EX_UNAVAILABLE, words
            assert result.stderr == f"roost: no broker answers at http://127.0.0.1:{port}: Connection refused\n"


# --- what is not sent ---


@pytest.mark.parametrize("url", ["http://broker.example:7301", "http://192.0.2.1", "http://[2001:db8::1]:1"])
def test_a_token_is_not_sent_in_the_clear_to_another_machine(home: Home, url: str) -> None:
    home.keep(f'[prod]\nurl = "{url}"\ntoken_file = "{home.token_file()}"\n')
    refused = home.run("--context", "prod", "status")
    assert refused.exit_code == EX_CONFIG
    assert "insecure = true" in refused.stderr
    assert url in refused.stderr


@contextmanager
def listening(*, context: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[bytes]]]:
    """Somebody who answers one request with 403, and keeps what he was asked."""
    asked: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = server.accept()
        try:
            if context is not None:
                connection = context.wrap_socket(connection, server_side=True)
            asked.append(whole_request(connection))
            connection.sendall(answer(403, {"status": 403, "title": "no", "detail": "not you"}))
        except OSError:
            pass  # whoever asked did not trust it
        finally:
            connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server.getsockname()[1], asked
    finally:
        thread.join(10)
        server.close()


def test_but_for_those_who_say_so(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of another machine, which here happens to be this one."""
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *a, **k: real("127.0.0.1" if host == "far.example" else host, *a, **k)
    )
    with listening() as (port, asked):
        home.keep(f'[far]\nurl = "http://far.example:{port}"\ninsecure = true\ntoken_file = "{home.token_file()}"\n')
        refused = home.run("--context", "far", "status")
    assert (refused.exit_code, refused.stderr) == (EX_NOPERM, "roost: not you\n")
    assert b"authorization: Bearer a-token\r\n" in asked[0]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 that nobody has signed, with its key, in one file."""
    openssl = which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl to make one")
    path = tmp_path_factory.mktemp("certificate") / "both.pem"
    made = shlex.split("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 -subj /CN=roost")
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(path), "-keyout", str(path) + ".key"]
    subprocess.run([openssl, *made], check=True, capture_output=True)
    path.write_text(path.read_text() + Path(str(path) + ".key").read_text())
    return path


@pytest.mark.parametrize("trusted", [True, False])
def test_https_is_trusted_when_the_system_does(
    home: Home, certificate: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate) if trusted else os.devnull)
    with listening(context=context) as (port, asked):
        home.keep(f'[far]\nurl = "https://127.0.0.1:{port}"\ntoken_file = "{home.token_file()}"\n')
        refused = home.run("--context", "far", "status")
    if trusted:
        assert (refused.exit_code, refused.stderr) == (EX_NOPERM, "roost: not you\n")
        assert b"Bearer a-token" in asked[0]
    else:
        assert (refused.exit_code, "not to be trusted" in refused.stderr) == (EX_CONFIG, True)
        assert asked == [], "the token was not sent"


def test_https_is_trusted_when_an_authority_of_ones_own_says_so(
    home: Home, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    with listening(context=context) as (port, asked):
        far = ("--url", f"https://127.0.0.1:{port}", "--token-file", str(home.token_file()))
        assert home.run("contexts", "add", "far", *far, "--ca", str(certificate)).exit_code == 0
        refused = home.run("--context", "far", "status")
    assert (refused.exit_code, refused.stderr) == (EX_NOPERM, "roost: not you\n")
    assert b"Bearer a-token" in asked[0]
    assert home.run("contexts", "add", "far", *far, "--ca", "/nowhere/ca.pem").exit_code == 0
    missing = home.run("--context", "far", "status")
    assert (missing.exit_code, missing.stderr) == (EX_NOINPUT, "roost: ca /nowhere/ca.pem: No such file or directory\n")


# --- files ---


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_files_that_others_may_use_are_refused(home: Home, mode: int) -> None:
    home.keep('[prod]\nsocket = "/nowhere"\n', mode)
    refused = home.run("--context", "prod", "status")
    assert (refused.exit_code, f"chmod 600 {home.file}" in refused.stderr) == (EX_CONFIG, True)
    token = home.token_file(mode=mode)
    home.keep(f'[prod]\nurl = "http://127.0.0.1:1"\ntoken_file = "{token}"\n')
    refused = home.run("--context", "prod", "status")
    assert (refused.exit_code, f"chmod 600 {token}" in refused.stderr) == (EX_CONFIG, True)


@pytest.mark.parametrize(
    "text",
    [
        "[prod", "[prod]\n", "prod = 3", '[prod]\nsockett = "/x"', '[prod]\nurl = "http://a:1"',
        '[prod]\ntoken_file = "/x"', '[prod]\nurl = "http://a:1"\nsocket = "/x"\ntoken_file = "/x"',
        '[prod]\nurl = "ftp://a"\ntoken_file = "/x"', '[prod]\nurl = "http://a:x"\ntoken_file = "/x"',
        '[prod]\nurl = "http://a:99999"\ntoken_file = "/x"', '[prod]\nurl = "http://"\ntoken_file = "/x"',
        '[prod]\nurl = "http://me:secret@a:1"\ntoken_file = "/x"', '[prod]\nurl = "http://a:1/path"\ntoken_file = "/x"',
        '[prod]\nurl = "http://[/"\ntoken_file = "/x"', '[prod]\nsocket = "/x"\ninsecure = 1',
        "#" * (FILE_BYTES_MAX + 1), "prod = " + "[" * 5_000, "prod = " + "9" * 5_000,
    ],
    ids=range(18),
)  # fmt: skip
def test_a_mistake_in_the_file_is_one_clear_line(home: Home, text: str) -> None:
    home.keep(text)
    refused = home.run("--context", "prod", "status")
    assert refused.exit_code == EX_CONFIG
    assert str(home.file) in refused.stderr
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("token", ["", " ", "two words", "x" * 1_000, "ä", "a\nb", "\x1b[2J"])
def test_a_file_that_holds_no_token(home: Home, token: str) -> None:
    home.keep(f'[prod]\nurl = "http://127.0.0.1:1"\ntoken_file = "{home.token_file(token)}"\n')
    refused = home.run("--context", "prod", "status")
    assert refused.exit_code == (EX_UNAVAILABLE if token == "two words" else EX_CONFIG)
    if token.strip():
        assert token not in refused.stderr


def test_a_context_or_a_token_file_that_is_not_there(home: Home) -> None:
    unknown = home.run("--context", "prod", "status")
    assert (unknown.exit_code, f"no context 'prod' in {home.file}" in unknown.stderr) == (EX_CONFIG, True)
    home.keep('[prod]\nurl = "http://127.0.0.1:1"\ntoken_file = "/nowhere/token"\n')
    assert "did you mean prod?" in home.run("--context", "prd", "status").stderr
    missing = home.run("--context", "prod", "status")
    assert (missing.exit_code, "/nowhere/token" in missing.stderr) == (EX_NOINPUT, True)


# --- list, add, remove ---


def test_contexts_are_added_listed_and_removed(home: Home) -> None:
    assert home.run("contexts", "list").stderr.startswith("roost: no contexts yet")
    added = home.run("contexts", "add", 'my "lab" ♟', "--socket", "/run/a b.sock")
    assert (added.exit_code, added.stdout, added.stderr) == (0, "", 'roost: context my "lab" ♟: /run/a b.sock\n')
    assert stat.S_IMODE(home.file.stat().st_mode) == 0o600
    token = str(home.token_file())
    args = ("--url", "http://far.example:7301", "--token-file", token, "--insecure", "--json")
    document = json.loads(home.run("contexts", "add", "prod", *args).stdout)
    expected = {"name": "prod", "url": "http://far.example:7301", "token_file": token, "insecure": True}
    assert document == expected
    listed = json.loads(home.run("contexts", "list", "--json").stdout)["contexts"]
    assert listed == [{"name": 'my "lab" ♟', "socket": "/run/a b.sock"}, expected]
    table = home.run("contexts", "list").stdout.splitlines()
    assert table[0].split() == ["CONTEXT", "BROKER", "TOKEN", "FILE", "CA", "INSECURE"]
    assert table[2].split() == ["prod", "http://far.example:7301", token, "-", "yes"]
    assert home.run("contexts", "add", "prod", "--socket", "/other").exit_code == 0, "it is changed"
    assert json.loads(home.run("contexts", "remove", 'my "lab" ♟', "--json").stdout) == {"name": 'my "lab" ♟'}
    assert json.loads(home.run("contexts", "list", "--json").stdout)["contexts"] == [
        {"name": "prod", "socket": "/other"}
    ]
    assert home.run("contexts", "remove", "prod").stderr == "roost: context prod is gone\n"
    assert home.run("contexts", "remove", "prod").exit_code == EX_CONFIG
    assert [path.name for path in home.file.parent.iterdir()] == ["contexts.toml"]


@pytest.mark.parametrize(
    "args",
    [
        ("x",), ("x", "--url", "http://a:1"), ("x", "--url", "a:1", "--token-file", "t"), ("", "--socket", "/x"),
        ("a\nb", "--socket", "/x"), ("x", "--socket", "/x\n"), ("x", "--socket", "/x", "--token-file", "t"),
        ("x", "--socket", "/x", "--url", "http://a:1", "--token-file", "t"), ("x", "--socket", "/x", "--ca", "c"),
        ("x", "--url", "http://a:1", "--token-file", "t", "--ca", "c"),
    ],
)  # fmt: skip
def test_a_context_that_makes_no_sense(home: Home, args: tuple[str, ...]) -> None:
    refused = home.run("contexts", "add", *args)
    assert (refused.exit_code, refused.stderr.count("\n")) == (EX_USAGE, 1)
    assert not home.file.exists()


def test_a_folder_that_cannot_be_written(home: Home) -> None:
    (home.folder / "roost").write_text("in the way")
    refused = home.run("contexts", "add", "x", "--socket", "/x")
    assert (refused.exit_code, str(home.file) in refused.stderr) == (EX_NOINPUT, True)
