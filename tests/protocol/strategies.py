"""Hypothesis strategies for everything that can be said on the wire, valid frames only.

`frames()` gives any frame, `frames_of(Publish)` those of one type, `BY_FRAME` all of them by type. The parts (names,
addresses, ids, numbers, bodies) are there for other tests as well. Every field of every struct is drawn: the table
is checked against the structs when this module is imported.
"""

import unicodedata
from collections.abc import Mapping
from typing import Any, TypeVar, cast

import msgspec
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from roost_protocol import frames as f
from roost_protocol import limits, names
from roost_protocol.reasons import Reason

S = TypeVar("S", bound=msgspec.Struct)
F = TypeVar("F", bound=f.Frame)
T = TypeVar("T")

_NAME_CHARS = st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="/")


def _is_name(text: str) -> bool:
    try:
        names.check_name(text)
    except ValueError:
        return False
    return True


def user_names() -> SearchStrategy[str]:
    """Names of users and groups: mostly short and plain, sometimes any Unicode that is allowed."""
    plain = st.text("abcdefgh", min_size=1, max_size=8)
    odd = st.text(_NAME_CHARS, min_size=1, max_size=limits.NAME_BYTES_MAX)
    return plain | odd.map(lambda text: unicodedata.normalize("NFC", text)).filter(_is_name)


def addresses() -> SearchStrategy[str]:
    """`user/NAME` or `group/NAME`."""
    return st.builds("{}/{}".format, st.sampled_from(["user", "group"]), user_names())


def ids() -> SearchStrategy[str]:
    """Message ids and incarnations: 16 hex digits."""
    return st.binary(min_size=8, max_size=8).map(bytes.hex)


def numbers() -> SearchStrategy[int]:
    """Numbers from 0, small ones and those at the bound as well."""
    return st.integers(0, 300) | st.integers(0, limits.NUMBER_MAX)


def seqs() -> SearchStrategy[int]:
    """Numbers from 1."""
    return st.integers(1, 300) | st.integers(1, limits.NUMBER_MAX)


def device_ids() -> SearchStrategy[str]:
    """Ids of devices."""
    alphabet = "abcXYZ0189._:-"
    return st.text(alphabet, min_size=1, max_size=limits.DEVICE_ID_BYTES_MAX)


def terminals() -> SearchStrategy[str]:
    """Terminal types."""
    return st.sampled_from(["phone", "pc", "pad", "web"]) | st.from_regex(r"[a-z][a-z0-9_-]{0,15}", fullmatch=True)


def texts(max_size: int = 40) -> SearchStrategy[str]:
    """Any text that UTF-8 can carry."""
    return st.text(st.characters(codec="utf-8"), max_size=max_size)


def content_types() -> SearchStrategy[str]:
    """Content types."""
    return st.sampled_from(["application/json", "image/png", "text/markdown; charset=utf-8", "x", "!~"])


def reason_codes() -> SearchStrategy[int]:
    """Reason codes, those we have a name for and any other."""
    return st.sampled_from(Reason) | st.integers(0, 255)


def _maybe(strategy: SearchStrategy[T]) -> SearchStrategy[T | None]:
    return st.none() | strategy


def _tuples(strategy: SearchStrategy[T], max_size: int = 4) -> SearchStrategy[tuple[T, ...]]:
    return st.lists(strategy, max_size=max_size).map(tuple)


Fields = Mapping[str, SearchStrategy[Any]]


def _struct(struct: type[S], required: Fields, optional: Fields, *either: Fields) -> SearchStrategy[S]:
    """Structs with every required field, any of the optional ones, and all of one of the alternatives `either`."""
    drawn = {*required, *optional, *(name for choice in either for name in choice)}
    assert drawn == set(struct.__struct_fields__), f"{struct.__name__}: {drawn ^ set(struct.__struct_fields__)}"
    base = st.fixed_dictionaries(dict(required), optional=dict(optional))
    choices = [st.fixed_dictionaries(dict(choice)) for choice in either] or [st.just({})]
    return st.builds(lambda first, second: struct(**first, **second), base, st.one_of(choices))


ORIGINS = _struct(f.Origin, {"by": device_ids() | st.just("admin"), "at": numbers()}, {"address": texts(20)})
GRANTED = _struct(f.Granted, {name: numbers() for name in f.Granted.__struct_fields__}, {})
MEMBERS = _struct(f.Member, {"user": user_names()}, {"owner": st.booleans()})
DEVICE_STATES = _struct(
    f.DeviceState,
    {"device": device_ids(), "terminal": terminals()},
    {
        "client": texts(20),
        "acknowledged": numbers(),
        "last_seen": numbers(),
        "online": st.booleans(),
        "since": _maybe(numbers()),
        "address": texts(20),
        "this": st.booleans(),
    },
)

_TEXT_BODY: Fields = {"text": texts()}
_DATA_BODY: Fields = {"data": st.binary(max_size=40)}

_ENTRY: Fields = {"id": ids(), "sender": user_names(), "to": addresses(), "time": numbers()}
_TYPED: Fields = {"content_type": content_types()}

ENTRIES = _struct(f.Entry, _ENTRY, _TYPED, _TEXT_BODY, _DATA_BODY) | st.builds(
    # As it goes to the connection that published it: without a body.
    f.Entry,
    id=ids(),
    sender=user_names(),
    to=addresses(),
    time=numbers(),
    content_type=content_types(),
)


def _connects() -> SearchStrategy[f.Connect]:
    secrets = texts().filter(bool)
    fields: dict[str, SearchStrategy[Any]] = {
        "version": st.just(f.PROTOCOL_VERSION) | numbers(),
        "last_id": _maybe(ids()),
        "incarnation": _maybe(ids()),
        "epoch": _maybe(numbers()),
        "receive_max": st.integers(1, 65_535),
        "receive_bytes_max": seqs(),
        "keepalive_s": st.integers(1, 65_535),
        "want_token": st.booleans(),
        "client": texts(),
    }
    starts: list[Fields] = [{"last_seq": numbers()}, {"newest": numbers()}]
    credentials: list[Fields] = [{"password": secrets}, {"token": texts()}, {"jwt": secrets}, {}]
    either = [{**start, **credential} for start in starts for credential in credentials]
    required = {"user": user_names(), "terminal": terminals(), "device": device_ids()}
    return _struct(f.Connect, required, fields, *either)


def _delivers() -> SearchStrategy[f.Deliver]:
    message: Fields = {"kind": st.just("message"), "device": st.none(), "n": st.none(), "entry": ENTRIES}
    own: Fields = {"kind": st.just("own"), "device": device_ids(), "n": seqs(), "entry": ENTRIES}
    erased: Fields = {"kind": st.just("erased"), "device": st.none(), "n": st.none(), "entry": st.none()}
    damaged = {**erased, "kind": st.just("damaged")}
    return _struct(f.Deliver, {"seq": seqs()}, {}, message, own, erased, damaged)


def _gaps() -> SearchStrategy[f.Gap]:
    spans = st.tuples(seqs(), seqs()).map(sorted)
    return st.builds(
        lambda span, reason: f.Gap(first=span[0], last=span[1], reason=reason),
        spans,
        st.sampled_from(["age", "count", "bytes"]),
    )


_DELIVERS = _delivers()
_REQUEST: Fields = {"request": numbers()}
_REASON: Fields = {"reason": reason_codes(), "text": texts()}


def _actions(*actions: str) -> Fields:
    return {"action": st.sampled_from(actions)}


BY_FRAME: Mapping[type[f.Frame], SearchStrategy[f.Frame]] = {
    f.Connect: _connects(),
    f.Connack: _struct(
        f.Connack,
        {},
        {
            **_REASON,
            "retry_after_s": _maybe(numbers()),
            "origin": _maybe(ORIGINS),
            "epoch": numbers(),
            "head": numbers(),
            "floor": numbers(),
            "position": numbers(),
            "incarnation": _maybe(ids()),
            "start_over": st.booleans(),
            "settled_n": numbers(),
            "granted": _maybe(GRANTED),
            "token": _maybe(texts()),
            "took_over": _maybe(ORIGINS),
            "resumed": st.booleans(),
        },
    ),
    f.Publish: _struct(f.Publish, {"n": seqs(), "to": addresses()}, _TYPED, _TEXT_BODY, _DATA_BODY),
    f.Puback: _struct(
        f.Puback,
        {"n": seqs()},
        {
            **_REASON,
            "retry_after_s": _maybe(numbers()),
            "seq": _maybe(numbers()),
            "id": _maybe(ids()),
            "time": _maybe(numbers()),
            "retransmission": st.booleans(),
        },
    ),
    f.Deliver: _DELIVERS,
    f.Ack: _struct(f.Ack, {"seq": numbers()}, {}),
    f.Gap: _gaps(),
    f.Subscribe: _struct(f.Subscribe, {**_REQUEST, "users": _tuples(user_names())}, {"stop": st.booleans()}),
    f.Presence: _struct(
        f.Presence,
        {"user": user_names(), "online": st.booleans()},
        {"terminal": _maybe(terminals()), "since": _maybe(numbers())},
    ),
    f.Fetch: _struct(
        f.Fetch,
        _REQUEST,
        {"conversation": _maybe(addresses()), "limit": st.integers(1, 1_000)},
        {"before": _maybe(numbers())},
        {"after": _maybe(numbers())},
    ),
    f.Page: _struct(
        f.Page,
        _REQUEST,
        {
            **_REASON,
            "entries": _tuples(_DELIVERS, 3),
            "more": st.booleans(),
            "floor": numbers(),
            "head": numbers(),
        },
    ),
    f.Ping: st.just(f.Ping()),
    f.Pong: st.just(f.Pong()),
    f.Disconnect: _struct(
        f.Disconnect,
        {},
        {
            **_REASON,
            "origin": _maybe(ORIGINS),
            "reconnect": st.booleans(),
            "reconnect_after_s": _maybe(numbers()),
        },
    ),
    f.Ephemeral: _struct(
        f.Ephemeral,
        {"to": addresses()},
        {"sender": _maybe(user_names()), "time": _maybe(numbers()), **_TYPED},
        _TEXT_BODY,
        _DATA_BODY,
    ),
    f.Group: _struct(
        f.Group,
        _REQUEST,
        {"users": _tuples(user_names())},
        {**_actions("create", "add", "remove", "leave", "members"), "group": user_names()},
        _actions("list"),
    ),
    f.Relation: _struct(
        f.Relation,
        {**_REQUEST, "kind": st.sampled_from(["contact", "block"])},
        {},
        {**_actions("add", "remove"), "user": user_names()},
        _actions("list"),
    ),
    f.Sessions: _struct(
        f.Sessions,
        _REQUEST,
        {},
        _actions("list"),
        {**_actions("log_out"), "device": device_ids()},
        {
            **_actions("set_password"),
            "password": texts().filter(bool),
            "new_password": texts().filter(bool),
        },
    ),
    f.Result: _struct(
        f.Result,
        _REQUEST,
        {
            **_REASON,
            "retry_after_s": _maybe(numbers()),
            "users": _maybe(_tuples(user_names())),
            "groups": _maybe(_tuples(user_names())),
            "members": _maybe(_tuples(MEMBERS)),
            "devices": _maybe(_tuples(DEVICE_STATES)),
        },
    ),
}
"""A strategy for each frame type."""


def frames() -> SearchStrategy[f.Frame]:
    """Any valid frame."""
    return st.one_of(*BY_FRAME.values())


def frames_of(frame: type[F]) -> SearchStrategy[F]:
    """Valid frames of one type."""
    return cast(SearchStrategy[F], BY_FRAME[frame])
