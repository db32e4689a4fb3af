"""The configuration: its defaults, and what it does not take."""

from pathlib import Path
from typing import Any

import pytest

from roost_broker.config import (
    DAY_MS,
    Config,
    HostPort,
    JwtConfig,
    PasswordConfig,
    RetentionConfig,
    StoreConfig,
    TlsConfig,
    parse_listen,
    reachable_by_others,
)
from roost_broker.store.operations import Retention
from roost_protocol.limits import Limits, Unfit


def test_nothing_need_be_configured() -> None:
    config = Config()
    assert parse_listen(config.listen).host == "127.0.0.1"
    assert not config.listen_beyond_loopback
    assert not config.admin_listen
    assert not config.admin_group


@pytest.mark.parametrize(
    "origin", ["https://chat.example.com", "http://localhost:8080", "http://[::1]:7380", "http://a"]
)
def test_origins_as_browsers_say_them(origin: str) -> None:
    assert Config(web_origins=(origin,)).web_origins == (origin,)


@pytest.mark.parametrize(
    "origin",
    ["", "*", "null", "chat.example.com", "https://chat.example.com/", "https://Chat.example.com", "ftp://a",
     "https://a:443", "http://a:80", "https://a b", "https://a/b", "https://user@a", "https://a:1234567"],
)  # fmt: skip
def test_what_is_no_origin(origin: str) -> None:
    with pytest.raises(Unfit, match="web_origins has origins as browsers say them"):
        Config(web_origins=(origin,))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"web_listen": "7380"}, "web_listen is host:port"),
        ({"web_admin": True, "web_admin_loopback": "root"}, "web_admin_loopback is read, operate, admin or empty"),
        ({"web_admin_loopback": "read"}, "web_admin_loopback is set, and web_admin is not"),
    ],
)
def test_what_cannot_be_of_the_web_listener(values: dict[str, Any], says: str) -> None:
    with pytest.raises(Unfit, match=says):
        Config(**values)


@pytest.mark.parametrize(
    ("listen", "means"),
    [
        ("127.0.0.1:7300", HostPort("127.0.0.1", 7300)),
        (":7300", HostPort("127.0.0.1", 7300)),
        ("[::1]:0", HostPort("::1", 0)),
        ("localhost:65535", HostPort("localhost", 65_535)),
    ],
)
def test_listen_is_taken_apart(listen: str, means: HostPort) -> None:
    assert parse_listen(listen) == means


@pytest.mark.parametrize("listen", ["", "7300", "localhost", "localhost:", "localhost:-1", "localhost:http", "a:65536"])
def test_listen_is_refused(listen: str) -> None:
    with pytest.raises(ValueError, match="listen is host:port"):
        parse_listen(listen)


@pytest.mark.parametrize(
    ("section", "policy"),
    [
        ({"age_days": 1, "count": 2, "bytes": 3}, Retention(age_ms=DAY_MS, count=2, bytes=3)),
        ({"age_days": 0, "count": 0, "bytes": 0}, Retention()),
        ({"age_days": 0.5, "count": 0, "bytes": 0}, Retention(age_ms=DAY_MS // 2)),
    ],
)
def test_zero_means_no_bound(section: dict[str, Any], policy: Retention) -> None:
    assert RetentionConfig(**section).policy() == policy


def test_the_admin_socket_is_in_the_data_folder_unless_said_otherwise() -> None:
    assert Config(data="d").admin_path == Path("d/admin.sock")
    assert Config(data="d", admin_socket="/run/roost.sock").admin_path == Path("/run/roost.sock")


def test_sections_that_are_made_by_hand_are_checked_as_well() -> None:
    with pytest.raises(ValueError, match="reserve_bytes"):
        Config(store=StoreConfig(map_bytes=1, reserve_bytes=2))
    with pytest.raises(ValueError, match=r"passwords\.passes"):
        Config(passwords=PasswordConfig(passes=0))
    with pytest.raises(ValueError, match="connections_max"):
        Config(limits=Limits(connections_max=10))


def test_every_problem_is_told() -> None:
    with pytest.raises(Unfit) as error:
        Config(drain_s=-1, log_level="LOUD", terminal_types=("phone", "X"), listen="x")
    assert [problem.split()[0] for problem in error.value.problems] == ["a", "log_level", "drain_s", "listen"]


@pytest.mark.parametrize(
    ("listen", "beyond", "refused"),
    [
        ("127.0.0.1:0", False, False),
        ("[::1]:0", False, False),
        ("localhost:0", False, False),
        ("0.0.0.0:0", False, True),
        ("0.0.0.0:0", True, False),
        ("example.com:0", False, True),
    ],
)
def test_nobody_listens_where_others_reach_it_without_saying_so(listen: str, beyond: bool, refused: bool) -> None:
    why_not = reachable_by_others(Config(listen=listen, listen_beyond_loopback=beyond))
    assert bool(why_not) == refused
    why_not = reachable_by_others(Config(admin_listen=listen, admin_listen_beyond_loopback=beyond))
    assert [text.startswith("admin_listen = ") for text in why_not] == [True] * refused
    why_not = reachable_by_others(Config(web_listen=listen, web_listen_beyond_loopback=beyond))
    assert [text.startswith("web_listen = ") for text in why_not] == [True] * refused


CERTIFIED = {"certificate": "c", "client_certificates": "accepted", "client_ca": "ca"}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"key": "k"}, "tls.key is of use only with tls.certificate"),
        ({"client_certificates": "yes"}, "tls.client_certificates is off or accepted or required, not 'yes'"),
        ({"client_certificates": "required", "client_ca": "ca"}, "tls.client_certificates needs tls.certificate"),
        ({"client_certificates": "accepted", "certificate": "c"}, "tls.client_certificates needs tls.client_ca"),
        ({"client_ca": "ca"}, "of use only with tls.client_certificates other than"),
        ({"client_user": "email"}, "of use only with tls.client_certificates other than"),
        ({**CERTIFIED, "client_user": "mail"}, "tls.client_user is common_name, email, uri, dns or empty, not 'mail'"),
        ({**CERTIFIED, "client_user": "uri", "client_user_form": "x"}, "tls.client_user_form has {user} once"),
        (
            {**CERTIFIED, "client_user": "uri", "client_user_form": "{user}{user}"},
            "tls.client_user_form has {user} once",
        ),
        ({**CERTIFIED, "client_user_form": "{user}@a"}, "tls.client_user_form is of use only with tls.client_user"),
    ],
)
def test_what_cannot_be_of_tls(values: dict[str, Any], says: str) -> None:
    with pytest.raises(Unfit) as error:
        Config(tls=TlsConfig(**values))
    assert [says in problem for problem in error.value.problems] == [True]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"secret": "s"}, "jwt.audience is needed"),
        ({"key_set": "s", "issuer": "i"}, "jwt.audience is needed"),
        ({"audience": "a"}, "jwt has settings, and no key"),
        ({"create": True}, "jwt has settings, and no key"),
        ({"secret": "s", "audience": "a", "user_claim": ""}, "jwt.user_claim is the name of a claim"),
        ({"secret": "s", "audience": "a", "leeway_s": -1}, "jwt.leeway_s is 0 to 300 seconds, not -1"),
        ({"secret": "s", "audience": "a", "leeway_s": 301}, "jwt.leeway_s is 0 to 300 seconds, not 301"),
    ],
)
def test_what_cannot_be_of_jwts(values: dict[str, Any], says: str) -> None:
    with pytest.raises(Unfit) as error:
        Config(jwt=JwtConfig(**values))
    assert [says in problem for problem in error.value.problems] == [True]


def test_what_can_be_of_both() -> None:
    tls = TlsConfig(**CERTIFIED, client_user="email", client_user_form="{user}@example.com")
    jwt = JwtConfig(key_set="s", audience="a", leeway_s=300)
    assert Config(tls=tls, jwt=jwt).jwt.configured
    assert not Config().jwt.configured
