"""What changed bytes seldom come to: inputs that have the right shape, with anything in the places of it.

Hypothesis draws them, and makes what breaks a target small; `tests/protocol` does the same for frames in the binary
form, `tests/broker/http/test_openapi.py` for the admin API.
"""

import json
import string
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from fuzz import codec_json, configuration, import_file, records
from fuzz.target import Target, attempt
from roost_admin.import_file import KINDS
from roost_broker.settings import variables
from roost_protocol.admin.export import ErasedEntry, ExportedAccount, ExportedEntry
from roost_protocol.frames import FRAMES, Entry

NUMBERS = st.integers(-(2**70), 2**70) | st.floats() | st.integers(0, 3)
TEXTS = st.text(max_size=8) | st.sampled_from(["user/bob", "group/team", "message", "own", "0123456789abcdef", ""])
LEAVES = st.none() | st.booleans() | NUMBERS | TEXTS


def stands(target: Target, data: bytes) -> None:
    finding = attempt(target, data)
    assert finding is None, finding.told()


def keys_of(*structs: type[msgspec.Struct]) -> list[str]:
    return sorted({field.encode_name for struct in structs for field in msgspec.structs.fields(struct)})


def values(keys: list[str]) -> st.SearchStrategy[Any]:
    """Any JSON, mostly objects with these keys."""
    return st.recursive(
        LEAVES,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(keys), inner, max_size=5),
        max_leaves=8,
    )


@given(
    st.sampled_from([frame.frame_type.name for frame in FRAMES]),
    st.dictionaries(st.sampled_from(keys_of(*FRAMES, Entry)), values(keys_of(Entry, *FRAMES)), max_size=6),
)
def test_frames_in_json_with_anything_in_them(name: str, fields: dict[str, Any]) -> None:
    stands(codec_json.TARGET, json.dumps({"frame": name, **fields}).encode())


@given(
    st.lists(
        st.tuples(st.sampled_from(KINDS), values(keys_of(ExportedAccount, ExportedEntry, ErasedEntry, Entry))),
        max_size=5,
    )
)
def test_exports_with_anything_in_them(lines: list[tuple[str, Any]]) -> None:
    text = "\n".join(json.dumps({"kind": kind, kind: value}) for kind, value in lines)
    stands(import_file.TARGET, text.encode())


@given(st.dictionaries(st.sampled_from(sorted(variables())), st.text(string.printable, max_size=12) | NUMBERS.map(str)))
def test_environments_with_anything_in_them(environ: dict[str, str]) -> None:
    text = "\n".join(f"{name}={value}" for name, value in environ.items())
    stands(configuration.TARGET, b"E\n" + text.encode())


@given(st.integers(0, len(records.DECODERS) - 1), st.lists(LEAVES | st.lists(LEAVES, max_size=3), max_size=12))
def test_records_with_anything_in_them(kind: int, fields: list[Any]) -> None:
    packed = [min(max(each, -(2**63)), 2**64 - 1) if isinstance(each, int) else each for each in fields]
    plain = [
        [0 if isinstance(each, int) else each for each in field] if isinstance(field, list) else field
        for field in packed
    ]
    stands(records.TARGET, bytes([kind]) + msgspec.msgpack.encode(plain))
