"""Where the configuration comes from: files, the environment, flags, and what each mistake is answered with."""

from pathlib import Path

import pytest

from roost_broker.config import Config, ConfigurationError, RetentionConfig
from roost_broker.settings import (
    DEFAULT,
    Settings,
    Source,
    combined,
    leaves,
    load,
    resolve,
    settings_of,
    settings_of_program,
    values_of,
    variables,
)
from roost_protocol.limits import Limits


def write(folder: Path, text: str) -> Path:
    path = folder / "roost.toml"
    path.write_text(text, "utf-8")
    return path


def test_nothing_need_be_configured() -> None:
    assert load(None) == Config()


def test_the_web_listener_can_be_set_in_each_layer(tmp_path: Path) -> None:
    path = write(tmp_path, 'web_listen = "127.0.0.1:1"\nweb_origins = ["https://a.example"]\nweb_admin = true\n')
    environ = {"ROOST_WEB_ORIGINS": "https://b.example, http://c.example:8080", "ROOST_WEB_ADMIN_LOOPBACK": "read"}
    config = resolve(path, environ, {"web_listen": (Source("flag", "--web"), "127.0.0.1:2")}).config
    assert (config.web_listen, config.web_admin, config.web_admin_loopback) == ("127.0.0.1:2", True, "read")
    assert config.web_origins == ("https://b.example", "http://c.example:8080")


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
        ("listen = 7300", "listen = 7300: Expected `str`, got `int`"),
        ('listen = "7300"', "listen is host:port"),
        ('listen = "127.0.0.1:70000"', "port of 0 to 65535"),
        ("[retention]\ncount = 1.5", "Expected `int`"),
        ("[retention]\ncount = -1", "retention.count is a number from 0 on, not -1"),
        ("[retention]\nage_days = -1", "retention.age_days is a number from 0 on"),
        ("[retention]\nbytes = -1", "retention.bytes is a number from 0 on"),
        ("[retention]\nforget_devices_days = -1", "retention.forget_devices_days is a number from 0 on"),
        ("[retention]\ninterval_s = 0", "interval_s is above 0"),
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
        ("retention = 3", "retention is a table, not 3"),
        ("listen = ", "is not TOML"),
        ("listen = " + "[" * 5_000, "is not TOML: maximum recursion depth exceeded"),
        ("drain_s = " + "9" * 5_000, "is not TOML: Exceeds the limit"),
        ("data = 0x" + "f" * 5_000, "data = a number with thousands of digits: Expected `str`"),
        ("drain_s = 0x" + "f" * 5_000, "drain_s"),
        ("listen = [" + "7, " * 5_000 + "]", "listen = .{1,210}…: Expected `str`, got `array`"),
        ("[retention]\nage_days = 1e306", "retention.age_days is at most 1000000"),
        ("[retention]\nhold_days = 1e306", "retention.hold_days is at most 1000000"),
        ("[journal]\ncount = 0x" + "f" * 20, "journal.count is at most 9007199254740991"),
        ("[store]\nmap_bytes = 0x" + "f" * 30, "store.map_bytes is at most 70368744177664"),
        ("[passwords]\nmemory_kib = 99999999", "passwords.memory_kib 8 to 4194304"),
        ("[listen]\nport = 1", "Expected `str`, got `object`"),
        ("[[limits]]\npublish_max = 1", "limits is a table, not"),
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
    with pytest.raises(ConfigurationError, match="command line: unknown key 'lisen'; did you mean listen"):
        load(None, lisen="127.0.0.1:1")
    with pytest.raises(ConfigurationError, match="command line: listen is host:port"):
        load(None, listen="x")


# --- layers -------------------------------------------------------------------------------------------------------

FLAG = Source("flag", "--listen")


def test_each_layer_goes_over_those_before_it(tmp_path: Path) -> None:
    text = 'data = "d"\nlisten = "127.0.0.1:1"\ndrain_s = 1\n[limits]\npublish_max = 8\nfetch_max = 8\n'
    path = write(tmp_path, text)
    environ = {"ROOST_LISTEN": "127.0.0.1:2", "ROOST_DRAIN_S": "2.5", "ROOST_LIMITS__PUBLISH_MAX": "9", "HOME": "/"}
    settings = resolve(path, environ, {"listen": (FLAG, "127.0.0.1:3")})
    config = settings.config
    assert (config.data, config.listen, config.drain_s) == ("d", "127.0.0.1:3", 2.5)
    assert (config.limits.publish_max, config.limits.fetch_max) == (9, 8)
    assert settings.source("listen") == FLAG
    assert settings.source("drain_s") == Source("environment", "ROOST_DRAIN_S")
    assert settings.source("limits.publish_max") == Source("environment", "ROOST_LIMITS__PUBLISH_MAX")
    assert settings.source("limits.fetch_max") == settings.source("data") == Source("file", str(path))
    assert settings.source("log_level") == DEFAULT


@pytest.mark.parametrize(
    ("variable", "text", "key", "value"),
    [
        ("ROOST_DATA", "/d", "data", "/d"),
        ("ROOST_SOCKET", "/s", "admin_socket", "/s"),
        ("ROOST_ADMIN_SOCKET", "/s", "admin_socket", "/s"),
        ("ROOST_LISTEN_BEYOND_LOOPBACK", "true", "listen_beyond_loopback", True),
        ("ROOST_LISTEN_BEYOND_LOOPBACK", "0", "listen_beyond_loopback", False),
        ("ROOST_TERMINAL_TYPES", "phone, pc,", "terminal_types", ("phone", "pc")),
        ("ROOST_RETENTION__AGE_DAYS", "0.5", "retention.age_days", 0.5),
        ("ROOST_STORE__MAP_BYTES", "200000000", "store.map_bytes", 200_000_000),
        ("ROOST_LOG_LEVEL", "ERROR", "log_level", "ERROR"),
        ("ROOST_DRAIN_S", "", "drain_s", 5),
    ],
)
def test_a_variable_sets_a_value(variable: str, text: str, key: str, value: object) -> None:
    assert values_of(resolve(None, {variable: text}, {}).config)[key] == value


def test_every_value_has_a_variable() -> None:
    assert set(variables().values()) == set(leaves())
    assert len(leaves()) > 40


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("ROOST_LISTEN", "\udcff:1", "ROOST_LISTEN: listen = '\\udcff:1': is not UTF-8"),
        ("ROOST_LIMITS__PUBLISH_MAX", "\udcff", "ROOST_LIMITS__PUBLISH_MAX: limits.publish_max = '\\udcff': is"),
        ("ROOST_WEB_ORIGINS", "https://a, \udcff", "ROOST_WEB_ORIGINS: web_origins = "),
        ("ROOST_LISTN", "x", "unknown variable ROOST_LISTN; did you mean ROOST_LISTEN?"),
        ("ROOST_LIMITS_PUBLISH_MAX", "1", "did you mean ROOST_LIMITS__PUBLISH_MAX?"),
        ("ROOST_LIMITS__PUBLISHES", "1", "unknown variable ROOST_LIMITS__PUBLISHES"),
        ("ROOST_NOTHING__AT_ALL", "1", "unknown variable ROOST_NOTHING__AT_ALL"),
        ("ROOST_LIMITS__PUBLISH_MAX", "many", "ROOST_LIMITS__PUBLISH_MAX: limits.publish_max = 'many': Expected `int`"),
        ("ROOST_LIMITS__PUBLISH_MAX", "0", "ROOST_LIMITS__PUBLISH_MAX: limits.publish_max = 0: allowed are 1 to 4096"),
        ("ROOST_LIMITS__PUBLISH_MAX", "1.5", "Expected `int`"),
        ("ROOST_LISTEN_BEYOND_LOOPBACK", "maybe", "Expected `bool`"),
        ("ROOST_DRAIN_S", "nan", "drain_s is a number from 0 on, not nan"),
        ("ROOST_TERMINAL_TYPES", ",", "terminal_types is empty"),
    ],
)
def test_a_mistake_in_the_environment_is_named(variable: str, text: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        resolve(None, {variable: text}, {})
    (problem,) = error.value.problems
    assert says in problem
    assert variable in problem or "terminal_types" in problem


@pytest.mark.parametrize(
    "variable",
    [
        "ROOST_PORT",
        "ROOST_PORT_7300_TCP_ADDR",
        "ROOST_SERVICE_HOST",
        "ROOST_CONFIG",
        "ROOST_CONTEXT",
        "ROOST_IMAGE_TAG",
        "ROOST_TOKEN",
    ],
)
def test_variables_of_others_are_left_alone(variable: str) -> None:
    """An orchestrator sets some for a service that is called roost."""
    assert resolve(None, {variable: "tcp://10.0.0.1:7300"}, {}).config == Config()


def test_every_problem_is_found_wherever_it_is(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        'lisen = 1\ndrain_s = "soon"\nlog_level = "LOUD"\n[retention]\ncuont = 1\ncount = -1\n'
        "[limits]\npublish_max = 0\nfetch_max = 0\n",
    )
    with pytest.raises(ConfigurationError) as error:
        resolve(path, {"ROOST_DATTA": "x"}, {"listen": (FLAG, "nonsense")})
    said = sorted(error.value.problems)
    assert [problem.partition(": ")[0] for problem in said] == ["--listen", *[str(path)] * 6, "environment"]
    for part in ("lisen", "drain_s", "log_level", "cuont", "limits.publish_max", "limits.fetch_max", "ROOST_DATTA"):
        assert any(part in problem for problem in said), part
    assert "\n" not in str(error.value)


def test_what_follows_from_a_mistake_is_not_told() -> None:
    """A table in which something cannot be read is not held against its own rules."""
    with pytest.raises(ConfigurationError) as error:
        resolve(None, {"ROOST_LIMITS__FRAME_BYTES_MAX": "x", "ROOST_LIMITS__BODY_BYTES_MAX": "1000000"}, {})
    assert len(error.value.problems) == 1


def test_a_file_that_cannot_be_read_hides_nothing_else(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as error:
        resolve(tmp_path / "none.toml", {"ROOST_DRAIN_S": "x"}, {})
    assert len(error.value.problems) == 2


def test_a_program_says_what_it_will() -> None:
    whole = Config(drain_s=1, limits=Limits(fetch_max=8))
    settings = settings_of(whole)
    assert settings.config is whole
    assert set(settings.sources) == {"drain_s", "limits.fetch_max"}
    settings = settings_of_program(None, {"limits": Limits(fetch_max=8), "retention": {"count": 3}, "data": None})
    assert settings.config == Config(limits=Limits(fetch_max=8), retention=RetentionConfig(count=3))
    assert settings.source("retention.count").origin == "program"
    with pytest.raises(ConfigurationError, match=r"\[retention\] unknown key 'cuont'"):
        settings_of_program(None, {"retention": {"cuont": 3}})


def test_two_are_combined_by_their_keys() -> None:
    running = resolve(None, {"ROOST_DATA": "a", "ROOST_DRAIN_S": "1", "ROOST_LIMITS__FETCH_MAX": "7"}, {})
    read = resolve(None, {"ROOST_DATA": "b", "ROOST_LIMITS__FETCH_MAX": "8"}, {})
    both = combined(running, read, {"drain_s", "limits.fetch_max"})
    assert both.config == Config(data="a", limits=Limits(fetch_max=8))
    assert set(both.sources) == {"data", "limits.fetch_max"}
    assert combined(running, read, set()).config == running.config


def test_what_does_not_fit_together_is_not_combined() -> None:
    running = Settings(Config(), {})
    read = settings_of(Config(limits=Limits(connections_max=30_000, connections_before_login_max=30_000)))
    with pytest.raises(ConfigurationError, match="connections_before_login_max"):
        combined(running, read, {"limits.connections_before_login_max"})
