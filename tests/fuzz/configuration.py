"""The configuration: a TOML file, or variables of the environment, that say anything.

The first byte chooses which; in the environment each line is `NAME=value`. A configuration that is taken can be used:
what is made of its values when a broker starts is made of them here.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from fuzz.target import Memory, Target
from fuzz.weighing import weighed
from roost_broker.app import problems_of_use
from roost_broker.config import Config, ConfigurationError
from roost_broker.settings import resolve, values_of


def one(data: bytes) -> None:
    """Read a configuration."""
    with weighed():
        if data[:1] == b"E":
            config = resolve(None, _environment(data[1:]), {}).config
        else:
            path = _path()
            path.write_bytes(data[1:])
            config = resolve(path, {}, {}).config
        _use(config)


def _use(config: Config) -> None:
    values_of(config)
    problems_of_use(config)
    config.retention.policy()
    config.retention.hold(1_700_000_000_000, frozenset())


def _environment(text: bytes) -> dict[str, str]:
    """As the system has it: no NUL in it, and what is no UTF-8 as surrogates."""
    lines = text.replace(b"\0", b"").decode("utf-8", "surrogateescape").split("\n")
    return dict(line.split("=", 1) for line in lines if "=" in line)


@cache
def _path() -> Path:
    return Path(mkdtemp(prefix="roost-fuzz-")) / "roost.toml"


def seeds() -> Iterator[bytes]:
    """Files and variables that are right, and what TOML allows beyond what anybody means."""
    yield b'F\nlisten = "127.0.0.1:7300"\nweb_origins = ["https://chat.example.com"]\n[limits]\npublish_max = 16\n'
    yield b'F\n[retention]\nage_days = 1.5\ncount = 10\nhold_days = 2\n[tls]\nkey = "b.pem"\n'
    yield b'F\nterminal_types = ["phone", "pc"]\nlog_level = "DEBUG"\n[passwords]\npasses = 1\n'
    yield b"E\nROOST_LISTEN=127.0.0.1:0\nROOST_LIMITS__PUBLISH_MAX=4\nROOST_TERMINAL_TYPES=phone, pc\n"
    yield b"E\nROOST_LIMIT__PUBLISH_MAX=4\nROOST_WEB_ADMIN=true\nROOST_DRAIN_S=nan\n"
    yield b"E\nROOST_LISTEN=\xff\xfe:1\nROOST_STORE__MAP_BYTES=" + b"9" * 5_000
    yield b"Fa = " + b"[" * 3_000
    yield b"F" + b"a." * 2_000 + b"b = 1"
    yield b"Fa = " + b"{a = " * 900
    yield b"Fdrain_s = " + b"9" * 5_000
    yield b"Fdrain_s = 0x" + b"f" * 5_000
    yield b"Fdata = 0x" + b"f" * 5_000
    yield b"F[retention]\nage_days = 1e306\nhold_days = 1e306"
    yield b"Fdrain_s = inf\n[retention]\nage_days = nan\n"
    yield b'Flisten = "127.0.0.1:' + "٣".encode() * 5_000 + b'"'
    yield b'Flisten = "127.0.0.1:\\u00b2"\nweb_listen = ":"\n'
    yield b'F\xef\xbb\xbflisten = "a:1"\nlisten = "a:2"'
    yield b'F"\\u0000" = 1979-05-27T07:32:00Z\nlimits = 3\n[[store]]\n'
    yield b'Fdata = "\\u0000"\nadmin_socket = "' + b"a" * 3_000 + b'"\n'


TARGET = Target(
    name="configuration",
    one=one,
    documented=(ConfigurationError,),
    # The file is its owner's own. tomllib keeps every beginning of a dotted key: a.a.a.… costs the square.
    memory=Memory(for_each_byte=8_192, beside=512 * 1024),
    seeds=seeds,
    tokens=(
        b"\n[retention]\n", b"\n[limits]\n", b"\n[store]\n", b"\n[tls]\n", b"\n[passwords]\n", b"\n[[",
        b"publish_max = ", b"admin_listen = ",
        b"age_days = ", b"map_bytes = ",
        b"listen = ", b"web_origins = [", b"1e308", b"inf", b"nan", b"-1", b"0x",
        b"true",
        b'"""', b"1979-05-27", b"\nROOST_", b"\nROOST_LIMITS__", b"[[[[", b"{a=", b"9" * 100,
    ),
)  # fmt: skip
