"""`docs/protocol.md` is the specification, and what it says is what the code does.

Its examples are decoded and encoded, its session is played by two protocol cores, and its tables (fields, reasons,
limits, constants), its diagram and every limit it mentions are compared with the source.
"""

import base64
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from msgspec import inspect as mi

from roost_protocol import codec, limits, websocket
from roost_protocol import frames as f
from roost_protocol.connection import Connection
from roost_protocol.limits import Limits
from roost_protocol.reasons import Reason
from roost_protocol.states import TRANSITIONS, Move, Role, State, diagram

PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"
TEXT = PAGE.read_text("utf-8")

MAPS: dict[str, type[msgspec.Struct]] = {
    "entry": f.Entry,
    "origin": f.Origin,
    "granted": f.Granted,
    "member": f.Member,
    "device": f.DeviceState,
}
"""The maps inside frames, by the word that the page has for them."""


class Block(NamedTuple):
    """A fenced block: the heading it stands under, its language, its text, and the line it begins on."""

    heading: str
    language: str
    text: str
    line: int


def blocks() -> Iterator[Block]:
    """Every fenced block of the page, in order."""
    heading, language, start, inside = "", "", 0, list[str]()
    for number, line in enumerate(TEXT.splitlines(), 1):
        if line.startswith("```"):
            if start:
                yield Block(heading, language, "\n".join(inside), start)
                start, inside = 0, []
            else:
                start, language = number, line[3:]
        elif start:
            inside.append(line)
        elif line.startswith("#"):
            heading = line.lstrip("# ")


BLOCKS = list(blocks())


class Example(NamedTuple):
    """One frame in both forms, as they stand one after the other on the page."""

    json: str
    hex: str
    line: int


def examples() -> list[Example]:
    """The pairs of a `json` block and the `hex` block that follows it."""
    found = []
    for first, second in pairwise(BLOCKS):
        if (first.language, second.language) == ("json", "hex"):
            found.append(Example(first.text, second.text, first.line))
    return found


EXAMPLES = examples()
EACH_EXAMPLE = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"line-{example.line}")


def parse_hex(text: str) -> bytes:
    """The bytes of an annotated dump: what stands after `#` is for people."""
    return bytes.fromhex("".join(line.partition("#")[0] for line in text.splitlines()))


def section(title: str) -> str:
    """What stands under a heading, up to the next one."""
    match = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", TEXT, re.DOTALL | re.MULTILINE)
    assert match, f"there is no section {title!r}"
    return match.group(1)


def rows(text: str) -> list[list[str]]:
    """The cells of the first table in a text, without its head."""
    table = re.search(r"^(?:\|.*\n)+", text, re.MULTILINE)
    lines = table.group().splitlines() if table else []
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


# --- examples -----------------------------------------------------------------------------------------------------


def test_every_json_and_hex_block_is_one_of_a_pair() -> None:
    for language in ("json", "hex"):
        assert sum(block.language == language for block in BLOCKS) == len(EXAMPLES)
    assert {block.language for block in BLOCKS} <= {"json", "hex", "mermaid", "session", "text", "js"}


def test_every_frame_type_has_an_example() -> None:
    assert {parse_hex(example.hex)[4] for example in EXAMPLES} == set(f.FrameType)


@EACH_EXAMPLE
def test_an_example_is_the_same_frame_in_both_forms(example: Example) -> None:
    encoded = parse_hex(example.hex)
    assert int.from_bytes(encoded[:4], "big") == len(encoded) - 4
    frame = codec.decode_body(encoded[4], encoded[limits.HEADER_BYTES :])
    assert frame == codec.decode_json(example.json)
    assert codec.encode(frame) == encoded
    assert json.loads(codec.encode_json(frame)) == json.loads(example.json)


@EACH_EXAMPLE
def test_the_notes_of_an_example_say_what_its_bytes_are(example: Example) -> None:
    """Each `"key": value` beside the bytes is what is in the frame."""
    keys = dict(re.findall(r'^  \S.*# "(\w+)": (.+)$', example.hex, re.MULTILINE))
    frame = json.loads(example.json)
    assert f"# type: {frame.pop('frame')}" in example.hex
    for key, value in frame.items():
        if isinstance(value, dict):
            assert keys[key].startswith(f"a map of {len(value)} key")
        elif isinstance(value, list):
            assert keys[key] == f"a list of {len(value)}"
        elif key == "data":
            assert keys[key] == f"{len(base64.b64decode(value))} bytes"
        else:
            assert json.loads(keys[key]) == value


def test_the_worked_session_is_a_session() -> None:
    """Two cores play it: every line is what the side may say then, and what the other side hears."""
    [session] = [block for block in BLOCKS if block.language == "session"]
    sides = {role.value: Connection(role) for role in Role}
    said: list[str] = []
    for line in session.text.splitlines():
        speaker, colon, text = line.partition(":")
        if not colon or line.startswith("#"):
            continue
        frame = codec.decode_json(text.strip())
        side = sides[speaker.strip()]
        other = sides[side.role.peer.value]
        assert other.receive_data(side.send(frame)) == [frame]
        assert json.loads(codec.encode_json(frame)) == json.loads(text)
        said.append(frame.frame_type.name)
    assert all(side.state is State.CLOSED for side in sides.values())
    assert {"CONNECT", "CONNACK", "PUBLISH", "PUBACK", "DELIVER", "ACK", "GAP", "DISCONNECT"} <= set(said)


# --- the tables of fields -----------------------------------------------------------------------------------------


def type_text(kind: mi.Type, key: str) -> str:
    """How the page writes a type: its words are those of the section "Values"."""
    match kind:
        case mi.UnionType():
            [inner] = [each for each in kind.types if not isinstance(each, mi.NoneType)]
            return type_text(inner, key)
        case mi.IntType(ge=least, le=most):
            plain = {(0, limits.NUMBER_MAX): "number", (1, limits.NUMBER_MAX): "number from 1", (0, 255): "code"}
            return plain.get((least or 0, most or 0), f"number {least} to {most}")
        case mi.BoolType():
            return "boolean"
        case mi.BytesType():
            return "bytes"
        case mi.StrType(min_length=least, max_length=most, pattern=pattern):
            if pattern:
                return "id"
            if (least, most) == (6, limits.NAME_BYTES_MAX + 6):
                return "address"
            if (least, most) == (1, limits.NAME_BYTES_MAX):
                return "content type" if key == "type" else "name"
            if most is None:
                return "string"
            return f"string, {least} to {most}" if least else f"string, to {most}"
        case mi.LiteralType(values=values):
            return " or ".join(f'`"{value}"`' for value in values)
        case mi.VarTupleType(item_type=item, max_length=most):
            return f"list of {type_text(item, key)}s" + (f", to {most}" if most else "")
        case mi.StructType(cls=struct):
            words = {struct: f"{word} map" for word, struct in MAPS.items()} | {f.Deliver: "DELIVER map"}
            return words[struct]
    raise AssertionError(f"{key}: the page has no word for {kind}")


def default_text(field: mi.Field) -> str:
    """How the page writes a default."""
    if field.required:
        return "required"
    default: Any = field.default
    if default is None:
        return "none"
    return f"`{json.dumps(int(default) if isinstance(default, Reason) else default)}`"


def table_of(struct: type[msgspec.Struct]) -> list[list[str]]:
    """Key, type and default of each field, as the page must have them."""
    info = mi.type_info(struct)
    assert isinstance(info, mi.StructType)
    return [
        [f"`{field.encode_name}`", type_text(field.type, field.encode_name), default_text(field)]
        for field in info.fields
    ]


@pytest.mark.parametrize("frame", f.FRAMES, ids=lambda frame: frame.frame_type.name)
def test_each_frame_has_its_table_of_fields(frame: type[f.Frame]) -> None:
    text = section(f"{frame.frame_type.name} ({frame.frame_type})")
    assert [row[:3] for row in rows(text)] == table_of(frame)
    assert all(len(row) == 4 and row[3] for row in rows(text))


@pytest.mark.parametrize("word", MAPS)
def test_each_map_inside_frames_has_its_table_of_fields(word: str) -> None:
    text = section(f"The {word} map")
    assert [row[:3] for row in rows(text)] == table_of(MAPS[word])
    assert all(len(row) == 4 and row[3] for row in rows(text))


@pytest.mark.parametrize("frame", f.FRAMES, ids=lambda frame: frame.frame_type.name)
def test_each_frame_says_who_says_it(frame: type[f.Frame]) -> None:
    text = section(f"{frame.frame_type.name} ({frame.frame_type})")
    name = frame.frame_type.name
    by = [role for role in Role if any(Move(role, name) in moves for moves in TRANSITIONS.values())]
    said = {(Role.DEVICE,): "device → broker", (Role.BROKER,): "broker → device", tuple(Role): "device ↔ broker"}
    assert text.lstrip().startswith(f"*{said[tuple(by)]}*")


def test_the_overview_of_frames_is_complete() -> None:
    table = rows(section("All frames"))
    assert [(row[0], row[1]) for row in table] == [
        (str(frame.frame_type.value), frame.frame_type.name) for frame in f.FRAMES
    ]


# --- reasons, limits, the diagram ---------------------------------------------------------------------------------


def test_every_reason_code_is_explained() -> None:
    table = rows(section("Reason codes"))
    assert [(row[0], row[1]) for row in table] == [(f"`0x{reason:02X}`", reason.phrase) for reason in Reason]
    assert all(len(row) == 5 and all(row) for row in table)


def test_the_reasons_that_the_text_mentions_are_reasons() -> None:
    mentions = re.findall(r"`0x([0-9A-F]{2})`\s\(([a-z\s]+)\)", TEXT)
    assert mentions
    for code, phrase in mentions:
        assert Reason(int(code, 16)).phrase == " ".join(phrase.split())


def test_the_table_of_limits_is_right() -> None:
    known = {row.name: row for row in Limits.table()}
    table = rows(section("Limits of a site"))
    assert table
    for name, default, unit, meaning in table:
        assert (int(default), unit) == (known[name.strip("`")].default, known[name.strip("`")].bound.unit)
        assert meaning


def test_the_table_of_constants_is_right() -> None:
    table = rows(section("Bounds of the protocol"))
    assert table
    for name, value, meaning in table:
        assert int(value) == getattr(limits, name.strip("`"))
        assert meaning


def test_every_limit_that_the_text_mentions_is_in_a_table() -> None:
    listed = {row[0] for row in rows(section("Limits of a site"))}
    keys = {field.encode_name for struct in (*f.FRAMES, *MAPS.values()) for field in msgspec.structs.fields(struct)}
    mentioned = set(re.findall(r"`[a-z_]+_(?:max|s)`", TEXT))
    assert mentioned
    assert mentioned <= listed | {f"`{key}`" for key in keys}


def test_the_diagram_is_drawn_from_the_table() -> None:
    [drawn] = [block for block in BLOCKS if block.language == "mermaid"]
    assert drawn.text == diagram()


def test_links_within_the_page_lead_somewhere() -> None:
    headings = [line.lstrip("# ") for line in TEXT.splitlines() if line.startswith("#")]
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert len(anchors) == len(headings)
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors


# --- WebSocket ----------------------------------------------------------------------------------------------------

WEBSOCKET = TEXT[TEXT.index("## WebSocket\n") :].partition("\n## ")[0]


def test_the_sub_protocols_are_those_of_the_source() -> None:
    assert tuple(cells[0].strip("`") for cells in rows(WEBSOCKET)) == websocket.SUB_PROTOCOLS


def test_the_close_codes_are_those_of_the_source() -> None:
    told = dict[int, int]()
    for code, reasons in rows(WEBSOCKET[WEBSOCKET.index("| close code | reason |") :]):
        if code.isdecimal():
            told |= {int(reason, 16): int(code) for reason in re.findall(r"`0x([0-9a-f]{2})`", reasons)}
    assert told == websocket.CLOSE_CODES
    for code, reason in re.findall(r"(4[0-9]{3}) for `0x([0-9a-f]{2})`", WEBSOCKET):
        assert websocket.close_code(int(reason, 16)) == int(code)


def test_the_broken_rules_have_the_codes_that_are_told() -> None:
    """The code of a Close follows from the reason, but for a message of the wrong kind."""
    broken = WEBSOCKET[WEBSOCKET.index("| what came | reason | close code |") :]
    codes = [(int(re.findall(r"0x([0-9a-f]{2})", reason)[0], 16), int(code)) for _, reason, code in rows(broken)]
    assert len(codes) == 5
    assert [code for reason, code in codes if websocket.close_code(reason) != code] == [websocket.UNSUPPORTED_DATA]
