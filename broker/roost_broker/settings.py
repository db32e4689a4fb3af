"""Where the configuration comes from, value by value: defaults < TOML file < environment < flags (or the program).

A key that is not known is an error with a suggestion, so that a typing mistake never silently leaves a default in
force. Every problem that can be found is found, not just the first. In the environment a value is `ROOST_` and its
key in capitals, a table and what is in it with two underscores between: `ROOST_LISTEN`, `ROOST_LIMITS__PUBLISH_MAX`;
lists have commas. What else begins with `ROOST_` is not ours, unless it looks as if it should have been.
"""

import difflib
import functools
import tomllib
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import msgspec

from roost_broker.config import Config, ConfigurationError
from roost_protocol.admin.config import ConfigOrigin
from roost_protocol.limits import Unfit

PREFIX = "ROOST_"
TABLE_SIGN = "__"

ALIASES: Mapping[str, str] = MappingProxyType({"ROOST_SOCKET": "admin_socket"})
"""Variables whose name is not that of their key."""

OTHER_VARIABLES = frozenset({"ROOST_CONFIG", "ROOST_CONTEXT"})
"""Variables of the command that are no value of the configuration."""

T = TypeVar("T", bound=msgspec.Struct)

NAMED_MAX = 24
"""Known keys that are named when none of them looks like the one that is not known; more would drown the message."""

SHOWN_CHARS_MAX = 200
"""Characters of a value in a message: what is wrong with it is seen by then."""

LIKENESS = 0.8
"""How much a variable has to look like one of ours to be a mistake (0 to 1; see difflib)."""


class Source(NamedTuple):
    """Where a value was set: the file, the variable or the flag."""

    origin: ConfigOrigin
    name: str = ""


DEFAULT = Source("default")


class Settings(NamedTuple):
    """A configuration, and where each value that is not a default was set, by its key (`limits.publish_max`)."""

    config: Config
    sources: Mapping[str, Source]

    def source(self, key: str) -> Source:
        """Where the value of a key was set."""
        return self.sources.get(key, DEFAULT)


def load(path: Path | None, **overrides: Any) -> Config:
    """The configuration: the defaults, then the file, then `overrides` that are not None. Raises ConfigurationError."""
    return settings_of_program(path, overrides).config


def settings_of_program(path: Path | None, overrides: Mapping[str, Any]) -> Settings:
    """The same, with where each value comes from. The environment is that of the program, not of the broker."""
    flags = {key: (Source("program", "command line"), value) for key, value in overrides.items() if value is not None}
    return resolve(path, {}, flags)


def settings_of(config: Config) -> Settings:
    """The same for a configuration that a program has made itself."""
    source = Source("program", "Config")
    defaults = values_of(Config())
    return Settings(config, {key: source for key, value in values_of(config).items() if value != defaults[key]})


def resolve(path: Path | None, environ: Mapping[str, str], flags: Mapping[str, tuple[Source, Any]]) -> Settings:
    """Put the layers together. Raises ConfigurationError with every problem that was found."""
    layers = _Layers()
    if path is not None:
        layers.add_file(path)
    layers.add_environment(environ)
    for key, (source, value) in flags.items():
        layers.add_flag(key, source, value)
    return layers.settings(str(path) if path is not None else "configuration")


def combined(running: Settings, read: Settings, keys: AbstractSet[str]) -> Settings:
    """What is running, with the values of these keys as they were read. Raises ConfigurationError: they do not fit."""
    before, after = values_of(running.config), values_of(read.config)
    sources = {
        key: source for key in before if (source := (read if key in keys else running).source(key)) is not DEFAULT
    }
    layers = _Layers()
    layers.add_values({key: (after if key in keys else before)[key] for key in before}, sources)
    return layers.settings("configuration")


@functools.cache
def leaves() -> Mapping[str, Any]:
    """The type of every value, by its key, in the order of the classes."""
    return MappingProxyType(dict(_leaves(Config, "")))


@functools.cache
def variables() -> Mapping[str, str]:
    """The key that each variable sets."""
    named = {PREFIX + key.upper().replace(".", TABLE_SIGN): key for key in leaves()}
    return MappingProxyType({**named, **ALIASES})


def values_of(config: Config) -> dict[str, Any]:
    """Every value, by its key."""
    return {key: functools.reduce(getattr, key.split("."), config) for key in leaves()}


class _Layers:
    """What was read so far: the nearest value of each key, and every problem."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._sources: dict[str, Source] = {}
        self._problems: list[str] = []
        self._unfit: set[str] = set()
        """Tables in which something is wrong."""

    def add_file(self, path: Path) -> None:
        """Add what a TOML file says."""
        try:
            tree = tomllib.loads(path.read_text("utf-8"))
        except OSError as error:
            self._problems.append(f"{path}: cannot be read: {error.strerror}")
        except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, numbers and nesting without end
            self._problems.append(f"{path}: is not TOML: {error}")
        else:
            self._add_table(Config, tree, "", Source("file", str(path)))

    def add_environment(self, environ: Mapping[str, str]) -> None:
        """Add what variables say, and mind those that look as if they should say something."""
        for name, text in environ.items():
            key = variables().get(name)
            if key is not None and text:
                self._add(key, Source("environment", name), text, _from_text)
            elif key is None and name.startswith(PREFIX) and name not in OTHER_VARIABLES:
                near = _nearest_variable(name)
                if near is not None or TABLE_SIGN in name:
                    hint = f"; did you mean {near}?" if near is not None else ""
                    self._problems.append(f"environment: unknown variable {name}{hint}")

    def add_flag(self, key: str, source: Source, value: Any) -> None:
        """Add what a flag, or a program, says; a whole table may be given as it is."""
        tables = _tables()
        if key in tables and isinstance(value, tables[key]):
            for inner, each in msgspec.structs.asdict(value).items():
                self._add(f"{key}.{inner}", source, each, msgspec.convert)
        else:
            self._add_table(Config, {key: value}, "", source)

    def add_values(self, values: Mapping[str, Any], sources: Mapping[str, Source]) -> None:
        """Add values that were read before."""
        self._values |= values
        self._sources |= sources

    def settings(self, where: str) -> Settings:
        """The whole. Raises ConfigurationError; `where` is what problems are laid to that have no better place."""
        config = self._built(Config, "", where)
        if self._problems:
            raise ConfigurationError(*self._problems)
        return Settings(config, MappingProxyType(self._sources))

    def _add_table(self, table: type[msgspec.Struct], tree: Mapping[str, Any], prefix: str, source: Source) -> None:
        fields = {field.encode_name for field in msgspec.structs.fields(table)}
        for name, value in tree.items():
            key = prefix + name
            inner = _tables().get(key)
            if name not in fields:
                where = f"[{prefix[:-1]}] " if prefix else ""
                self._problem(prefix[:-1], f"{source.name}: {where}unknown key {name!r}{_hint(name, table)}")
            elif inner is None:
                self._add(key, source, value, msgspec.convert)
            elif isinstance(value, dict):
                self._add_table(inner, value, f"{key}.", source)
            else:
                self._problem(key, f"{source.name}: {key} is a table, not {_shown(value)}")

    def _add(self, key: str, source: Source, value: Any, convert: Callable[[Any, Any], Any]) -> None:
        try:
            self._values[key] = _in_unicode(convert(value, leaves()[key]))
        except (msgspec.ValidationError, UnicodeError) as error:
            why = "is not UTF-8" if isinstance(error, UnicodeError) else error
            self._problem(key.rpartition(".")[0], f"{source.name}: {key} = {_shown(value)}: {why}")
        else:
            self._sources[key] = source

    def _problem(self, table: str, text: str) -> None:
        self._problems.append(text)
        self._unfit.add(table)

    def _built(self, table: type[T], prefix: str, where: str) -> T:
        """A table out of its values; its defaults when something is wrong with it, which is then among the problems."""
        values: dict[str, Any] = {}
        for field in msgspec.structs.fields(table):
            key = prefix + field.name
            inner = _tables().get(key)
            if inner is not None:
                values[field.name] = self._built(inner, f"{key}.", where)
            elif key in self._values:
                values[field.name] = self._values[key]
        if prefix[:-1] in self._unfit and prefix:  # what else is wrong with it cannot be told from what follows
            return table()
        try:
            return table(**values)
        except Unfit as unfit:
            self._problems += [f"{self._blamed(problem, where)}: {problem}" for problem in unfit.problems]
            return table()

    def _blamed(self, problem: str, where: str) -> str:
        """Where the value that a problem begins with was set."""
        source = self._sources.get(problem.partition(" ")[0])
        return source.name if source is not None else where


def _leaves(table: type[msgspec.Struct], prefix: str) -> Iterator[tuple[str, Any]]:
    for field in msgspec.structs.fields(table):
        key = prefix + field.name
        if _is_table(field.type):
            yield from _leaves(field.type, f"{key}.")
        else:
            yield key, field.type


@functools.cache
def _tables() -> Mapping[str, type[msgspec.Struct]]:
    """The class of every table, by its key."""
    return MappingProxyType(dict(_inner_tables(Config, "")))


def _inner_tables(table: type[msgspec.Struct], prefix: str) -> Iterator[tuple[str, type[msgspec.Struct]]]:
    for field in msgspec.structs.fields(table):
        if _is_table(field.type):
            yield prefix + field.name, field.type
            yield from _inner_tables(field.type, f"{prefix}{field.name}.")


def _is_table(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _from_text(text: str, kind: Any) -> Any:
    """A value of the environment. Raises msgspec.ValidationError."""
    if getattr(kind, "__origin__", None) is tuple:
        return msgspec.convert([part.strip() for part in text.split(",") if part.strip()], kind)
    return msgspec.convert(text, kind, strict=False)


def _in_unicode(value: Any) -> Any:
    """A value as it is. Raises UnicodeError for text that UTF-8 does not have: a variable may be any bytes."""
    for text in value if isinstance(value, tuple) else (value,):
        if isinstance(text, str):
            text.encode()
    return value


def _shown(value: Any) -> str:
    """A value, or its beginning, for a person."""
    try:
        text = repr(value)
    except ValueError:  # Python does not write out numbers that are so long
        return "a number with thousands of digits"
    return text if len(text) <= SHOWN_CHARS_MAX else f"{text[:SHOWN_CHARS_MAX]}…"


def _nearest_variable(name: str) -> str | None:
    """The variable that was perhaps meant. What all have in common does not count."""
    known = {variable.removeprefix(PREFIX): variable for variable in variables()}
    near = difflib.get_close_matches(name.removeprefix(PREFIX), known, 1, LIKENESS)
    return known[near[0]] if near else None


def _hint(name: str, table: type[msgspec.Struct]) -> str:
    fields = [field.encode_name for field in msgspec.structs.fields(table)]
    near = difflib.get_close_matches(name, fields, 1)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; known are {', '.join(fields)}" if 0 < len(fields) <= NAMED_MAX else ""
