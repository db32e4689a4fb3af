"""Path, query and body of a request, as the types of a route have them, and nothing that could be read in two ways.

What msgspec takes for a number is more than JSON has (`nan`, `null` for nothing), and a key that comes twice has two
values, of which each reader may take another: both are refused (RFC 8259, 4; RFC 9457 for how it is said).
"""

import json
import re
from collections.abc import Iterator
from typing import Any, TypeVar, get_args
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec

from roost_broker.http.server import Request, RequestFailed
from roost_protocol.admin.route import Asked

S = TypeVar("S", bound=msgspec.Struct)

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
"""RFC 8259, section 6."""
_TRUTH = re.compile("true|false")


def read_target(request: Request) -> SplitResult:
    """The target of a request, taken apart. Raises RequestFailed."""
    try:
        return urlsplit(request.target)
    except ValueError as error:
        raise RequestFailed(400, "Bad Request", f"the target: {error}") from error


def read_name(segment: str) -> str:
    """A segment of a path, decoded. Raises RequestFailed."""
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError as error:
        raise RequestFailed(400, "Bad Request", f"the path: {segment[:100]!r} is not UTF-8") from error


def read_query(wanted: type[S], query: str) -> S:
    """The query as its type has it: one value for each key, or several where that is a tuple. Raises RequestFailed."""
    types = {field.encode_name: field.type for field in msgspec.structs.fields(wanted)}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError as error:
        raise RequestFailed(400, "Bad Request", "the query is not UTF-8") from error
    given: dict[str, Any] = {}
    for key, value in pairs:
        wanted_type = types.get(key)
        allowed = None if wanted_type is None else _form(wanted_type)
        if allowed is not None and not allowed.fullmatch(value):
            raise RequestFailed(400, "Bad Request", f"the query: {key[:100]} is not {value[:100]!r}")
        if getattr(wanted_type, "__origin__", None) is tuple:
            given.setdefault(key, []).append(value)
        elif key in given:
            raise RequestFailed(400, "Bad Request", f"the query: {key[:100]!r} comes more than once")
        else:
            given[key] = value
    try:
        return msgspec.convert(given, wanted, strict=False)
    except msgspec.ValidationError as error:
        raise RequestFailed(400, "Bad Request", f"the query: {error}") from error


def _form(wanted: Any) -> re.Pattern[str] | None:
    """What a value of this type looks like in a query; None if it is, or may be, text."""
    plain = set(_plain_types(wanted))
    if str in plain:
        return None
    return _TRUTH if bool in plain else _NUMBER


def _plain_types(wanted: Any) -> Iterator[type]:
    """The types that a value may have in the end: `int` and `None` for `tuple[int | None, ...]`."""
    parts = get_args(wanted)
    if not parts:
        yield wanted if isinstance(wanted, type) else type(wanted)  # a value of a Literal
    for part in parts:
        yield from _plain_types(part)


def read_body(wanted: type[Asked], request: Request) -> Asked:
    """The body of a request. Raises RequestFailed."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RequestFailed(415, "Unsupported Media Type", "the body is application/json")
    try:
        body = msgspec.json.decode(request.body, type=wanted)
        json.loads(request.body, object_pairs_hook=_refuse_doubles)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise RequestFailed(400, "Bad Request", f"the body: {error}") from error
    return body


def _refuse_doubles(pairs: list[tuple[str, object]]) -> None:
    """Raise ValueError for a key that comes twice in one object."""
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise ValueError(f"the key {key[:100]!r} comes more than once")
        seen.add(key)
