"""The configuration: defaults, files, and what each mistake is answered with."""

from pathlib import Path
from typing import Any

import pytest

from roost_broker.config import (
    DAY_MS,
    Config,
    ConfigurationError,
    HostPort,
    PasswordConfig,
    RetentionConfig,
    StoreConfig,
    load,
    parse_listen,
)
from roost_broker.store.operations import Retention
from roost_protocol.limits import Limits


def write(folder: Path, text: str) -> Path:
    path = folder / "roost.toml"
    path.write_text(text, "utf-8")
    return path


def test_nothing_need_be_configured() -> None:
    config = load(None)
    assert config == Config()
    assert parse_listen(config.listen).host == "127.0.0.1"
    assert not config.listen_beyond_loopback


def test_a_file_and_overrides_go_over_the_defaults(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        'data = "from-file"\nlisten = "127.0.0.1:1"\nterminal_types = ["phone"]\n'
        "[retention]\nage_days = 7\n[limits]\npublish_max = 8\n[store]\nmap_bytes = 200_000_000\n",
    )
    config = load(path, listen="127.0.0.1:2", data=None)
    assert (config.data, config.listen, config.terminal_types) == ("from-file", "127.0.0.1:2", ("phone",))
    assert (config.retention.age_days, config.limits.publish_max, config.store.map_bytes) == (7, 8, 200_000_000)
    assert config.retention.count == RetentionConfig().count


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('lisen = "127.0.0.1:1"', "unknown key 'lisen'; did you mean listen?"),
        ("[retention]\nage_day = 1", r"\[retention\] unknown key 'age_day'; did you mean age_days?"),
        ("[limits]\npublishes = 1", r"\[limits\] unknown key 'publishes'"),
        ("zzzzzz = 1", "unknown key 'zzzzzz'; known are data, listen"),
        ("listen = 7300", r"Expected `str`, got `int` - at `\$.listen`"),
        ('listen = "7300"', "listen is host:port"),
        ('listen = "127.0.0.1:70000"', "port of 0 to 65535"),
        ("[retention]\ncount = 1.5", "Expected `int`"),
        ("[retention]\ncount = -1", "retention.count is a number from 0 on, not -1"),
        ("[retention]\nage_days = -1", "retention.age_days is a number from 0 on"),
        ("[retention]\nbytes = -1", "retention.bytes is a number from 0 on"),
        ("[retention]\nforget_devices_days = -1", "retention.forget_devices_days is a number from 0 on"),
        ("[retention]\ninterval_s = 0", "interval_s is above 0"),
        ("[retention]\nhold_days = -1", "retention.hold_days is a number from 0 on"),
        ("[retention]\nhold_days = 1\nhold_bytes_max = 0", "retention.hold_bytes_max is above 0"),
        ("[retention]\nage_days = nan", "retention.age_days is a number from 0 on, not nan"),
        ("[retention]\nage_days = inf", "age_days"),
        ("[retention]\nforget_devices_days = inf", "forget_devices_days"),
        ("[retention]\ninterval_s = nan", "interval_s"),
        ("drain_s = -1", "drain_s is a number from 0 on, not -1"),
        ("drain_s = nan", "drain_s is a number from 0 on, not nan"),
        ("[limits]\npublish_max = 0", "limits.publish_max = 0: allowed are 1 to 4096 publishes"),
        ("[limits]\nbody_bytes_max = 1_000_000", "three quarters of frame_bytes_max"),
        ("[store]\nreserve_bytes = 0", "reserve_bytes"),
        ("[store]\nmap_bytes = 1\nreserve_bytes = 1", "below store.map_bytes"),
        ("terminal_types = []", "nobody could log in"),
        ('terminal_types = ["Phone"]', "a terminal type is a lower-case word"),
        ('log_level = "info"', "log_level is DEBUG, INFO"),
        ("[passwords]\npasses = 0", "passwords.passes"),
        ("[passwords]\nmemory_kib = 4", "passwords.memory_kib"),
        ("retention = 3", r"Expected `object`, got `int` - at `\$.retention`"),
        ("listen = ", "is not TOML"),
    ],
)
def test_a_mistake_in_a_file_is_named(tmp_path: Path, text: str, says: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigurationError, match=says) as error:
        load(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value) or "TOML" in str(error.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        load(tmp_path / "none.toml")
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        load(tmp_path)
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'data = "\xe9"')
    with pytest.raises(ConfigurationError, match="is not TOML"):
        load(latin)


def test_a_mistake_on_the_command_line_is_named() -> None:
    with pytest.raises(ConfigurationError, match="command line: Object contains unknown field `lisen`"):
        load(None, lisen="127.0.0.1:1")
    with pytest.raises(ConfigurationError, match="command line: listen is host:port"):
        load(None, listen="x")


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
