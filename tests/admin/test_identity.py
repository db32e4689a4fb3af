"""Certificates and JWTs at a real broker: `roost chat` with a certificate, and what a reload reads again."""

import json
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

import roost
from admin.running import CHEAP, COMMAND, PASSWORD, WAIT_S, RunningBroker, command, environment, password_fd
from admin.test_serve import wait_for_line
from broker.certifying import Authority, Issued
from broker.signing import AUDIENCE, ED25519, OTHER_ED25519, claims, jwk, signed, write_key_set
from broker.test_certificates import AUTHORITY, issue
from roost_admin.failures import EX_CONFIG, EX_NOINPUT, EX_NOPERM, EX_USAGE

pytestmark = pytest.mark.process

CONFIG = """
log_level = "DEBUG"
[tls]
certificate = "{certificate}"
key = "{key}"
client_certificates = "{client_certificates}"
client_ca = "{authority}"
client_user = "common_name"
[jwt]
key_set = "{key_set}"
audience = "{audience}"
"""


class Site:
    """A broker with an authority for its devices and a sign-on for its users."""

    def __init__(self, folder: Path, client_certificates: str = "accepted") -> None:
        self.folder = folder
        self.authority = Authority(folder)
        tls = issue(folder, "localhost")
        AUTHORITY.cert_pem.write_to_path(folder / "ca.pem")
        config = CONFIG.format(
            certificate=tls.certificate, key=tls.key, authority=self.authority.write(), audience=AUDIENCE,
            key_set=write_key_set(folder, jwk(ED25519, "1")), client_certificates=client_certificates,
        )  # fmt: skip
        self.broker = RunningBroker(folder, config=config + CHEAP)
        self.server = f"localhost:{self.broker.address.rpartition(':')[2]}"

    def may_log_in(self, user: str, issued: Issued | None = None, **credential: Any) -> bool:
        """Whether a device gets in."""
        context = ssl.create_default_context(cafile=self.folder / "ca.pem")
        if issued is not None:
            context.load_cert_chain(issued.certificate, issued.key)
            credential.setdefault("by_certificate", True)

        async def log_in() -> bool:
            with trio.fail_after(WAIT_S):
                try:
                    async with roost.connect(self.server, user=user, terminal="pc", tls=context, **credential):
                        return True
                except (roost.LoginRefused, roost.ConnectionFailed):
                    return False

        return trio.run(log_in)

    def chat(self, *args: object, fds: tuple[int, ...] = ()) -> "subprocess.CompletedProcess[str]":
        """`roost chat alice`, who says one thing."""
        words = ("chat", "alice", "--to", "bob", "--server", self.server, "--state", self.folder / "alice.db", *args)
        return subprocess.run(
            [*COMMAND, *map(str, words)], input="hi\n", capture_output=True, text=True, pass_fds=fds,
            env=environment(self.folder), check=False, timeout=WAIT_S,
        )  # fmt: skip


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    with made.broker:
        made.broker.create_users("alice", "bob")
        yield made


def test_chat_with_a_certificate_needs_no_password(site: Site) -> None:
    alice = site.authority.issue("alice")
    trusting = ("--tls", "--ca", site.folder / "ca.pem")
    said = site.chat(*trusting, "--cert", alice.certificate, "--key", alice.key)
    assert said.returncode == 0, said.stderr
    assert "✓" in said.stdout
    both = site.folder / "both.pem"
    both.write_bytes(alice.certificate.read_bytes() + alice.key.read_bytes())
    assert site.chat(*trusting, "--cert", both).returncode == 0
    bob = site.authority.issue("bob")
    refused = site.chat(*trusting, "--cert", bob.certificate, "--key", bob.key)
    assert refused.returncode == EX_NOPERM
    assert "that of another user" in refused.stderr
    nobody = site.authority.issue("")
    with password_fd() as fd:
        options = (*trusting, "--cert", nobody.certificate, "--key", nobody.key, "--password-fd", fd)
        said = site.chat(*options, fds=(fd,))
    assert said.returncode == 0, said.stderr


def test_chat_asks_for_a_password_where_the_certificate_is_not_enough(site: Site) -> None:
    nobody = site.authority.issue("")
    options = ("--tls", "--ca", site.folder / "ca.pem", "--cert", nobody.certificate, "--key", nobody.key)
    said = site.chat(*options)
    assert said.returncode != 0
    assert "the broker asks for a password as well" in said.stderr


def test_a_check_shows_a_certificate_where_one_is_asked_for(tmp_path: Path) -> None:
    site = Site(tmp_path, client_certificates="required")
    with site.broker:
        site.broker.create_users("monitor")
        without = site.broker.ask("check", "--json")
        (echo,) = (stage for stage in json.loads(without.stdout)["stages"] if stage["name"] == "echo")
        assert (without.exit_code, echo["state"]) == (1, "critical")
        for name, user in (("monitor", ("--user", "monitor")), ("roost-check", ())):
            shown = site.authority.issue(name)
            done = site.broker.ask("check", "--cert", str(shown.certificate), "--key", str(shown.key), *user)
            assert done.exit_code == 0, done.stdout
            assert f"{name} logged in" in done.stdout
        missing = site.broker.ask("check", "--cert", "none.pem")
        assert "--cert none.pem" in missing.stdout


@pytest.mark.parametrize(
    ("args", "status", "says"),
    [
        (("--cert", "c.pem"), EX_USAGE, "--cert goes with --tls"),
        (("--tls", "--key", "k.pem"), EX_USAGE, "--key goes with --cert"),
        (("--tls", "--cert", "none.pem"), EX_NOINPUT, "--cert none.pem, --key none.pem: No such file"),
        (("--tls", "--cert", "none.pem", "--key", "k.pem"), EX_NOINPUT, "--key k.pem: No such file"),
    ],
)
def test_what_chat_does_not_take(args: tuple[str, ...], status: int, says: str) -> None:
    refused = command("chat", "alice", "--to", "bob", *args)
    assert refused.exit_code == status
    assert says in refused.stderr


def test_a_reload_reads_authorities_and_keys_again(site: Site) -> None:
    old = site.authority.issue("alice")
    other = Authority(site.folder, "Another Authority")
    new = other.issue("alice")
    old_jwt, new_jwt = (signed(key, claims(exp=int(time.time()) + 600)) for key in (ED25519, OTHER_ED25519))
    assert site.may_log_in("alice", old)
    assert site.may_log_in("alice", jwt=old_jwt)
    assert not site.may_log_in("alice", new)
    assert not site.may_log_in("alice", jwt=new_jwt)
    assert not site.may_log_in("bob", jwt=old_jwt)

    other.write()
    write_key_set(site.folder, jwk(OTHER_ED25519, "2"))
    assert site.may_log_in("alice", old), "nothing is read before it is said"
    site.broker.process.send_signal(signal.SIGHUP)
    wait_for_line(site.broker.log, "configuration reloaded")
    assert site.may_log_in("alice", new)
    assert site.may_log_in("alice", jwt=new_jwt)
    assert not site.may_log_in("alice", old)
    assert not site.may_log_in("alice", jwt=old_jwt)
    assert site.may_log_in("bob", password=PASSWORD)


@pytest.mark.parametrize("broken", ["jwks.json", "authority.pem", "certificate.pem"])
def test_a_reload_that_fails_in_one_file_changes_nothing_in_another(site: Site, broken: str) -> None:
    """Whichever is read first."""
    alice = site.authority.issue("alice")
    jwt = signed(ED25519, claims(exp=int(time.time()) + 600))
    other = Authority(site.folder, "Another Authority")
    other.write()
    write_key_set(site.folder, jwk(OTHER_ED25519, "2"))
    issue(site.folder, "elsewhere.example")
    (site.folder / broken).write_text("hello")
    failed = site.broker.ask("reload")
    assert failed.exit_code == EX_CONFIG
    assert broken in failed.stderr
    assert "the configuration is as it was" in failed.stderr
    assert site.may_log_in("alice", alice)
    assert site.may_log_in("alice", jwt=jwt)


def test_what_is_wrong_is_in_the_log(site: Site) -> None:
    assert not site.may_log_in("alice", Authority(site.folder).issue("alice"))
    wait_for_line(site.broker.log, "no handshake: TLS: certificate verify failed")
    assert not site.may_log_in("alice", jwt=signed(OTHER_ED25519))
    wait_for_line(site.broker.log, "the JWT does not hold: its signature is wrong")


def test_a_configuration_with_problems_is_told_them_all(tmp_path: Path) -> None:
    (tmp_path / "roost.toml").write_text(
        '[tls]\nclient_certificates = "on"\nclient_user = "mail"\n[jwt]\nsecret = "s"\nleeway_s = 1000\nissuers = "x"\n'
    )
    checked = command("config", "check", str(tmp_path / "roost.toml"))
    assert checked.exit_code == EX_CONFIG
    for words in ("tls.client_certificates is off", "tls.client_user is common_name", "did you mean issuer"):
        assert words in checked.stderr, words
    (tmp_path / "roost.toml").write_text('[jwt]\nsecret = "s"\nleeway_s = 1000\n')
    checked = command("config", "check", str(tmp_path / "roost.toml"))
    for words in ("jwt.audience is needed", "jwt.leeway_s is 0 to 300 seconds, not 1000"):
        assert words in checked.stderr, words
