"""The reader of exports, which people take from one site to another: any file. What the broker judges of it is not
looked at here (see `admin_api`)."""

import io
from collections.abc import Iterator

import msgspec

from fuzz.codec_binary import ENTRY
from fuzz.codec_json import JSON_TOKENS, ODD_JSON
from fuzz.target import Memory, Target
from fuzz.weighing import weighed
from roost_admin.failures import EX_DATAERR, Failure
from roost_admin.import_file import ExportReader
from roost_protocol.admin.export import ErasedEntry, Exported, ExportedAccount, ExportedEntry


def one(data: bytes) -> None:
    """Read a file to its end."""
    with weighed():
        reader = ExportReader(io.BytesIO(data), "export")
        last = 0
        failure: Failure | None = None
        try:
            for line in reader.records():
                assert line.number > last
                last = line.number
        except Failure as failed:
            failure = failed
        if failure is not None:
            assert failure.exit_code == EX_DATAERR
            assert len(failure.format_message()) < 1_000
            raise failure


def _lines(*records: Exported) -> bytes:
    return b"".join(msgspec.json.encode(record) + b"\n" for record in records)


def seeds() -> Iterator[bytes]:
    """An export; one that was cut; odd values in the places where some are."""
    account = ExportedAccount(
        name="alice", created=1, disabled=False, incarnation="0" * 16, floor=1, head=2, floor_reason="age"
    )
    head = Exported(kind="account", account=account)
    entry = Exported(kind="entry", entry=ExportedEntry(seq=1, entry=ENTRY, kind="own", device="d1", n=1))
    erased = ErasedEntry(id="0123456789abcdf0", bytes=9, conversation="user/bob")
    gone = Exported(kind="entry", entry=ExportedEntry(seq=2, kind="erased", erased=erased))
    people = (Exported(kind="group", group="team"), Exported(kind="contact", contact="bob"))
    yield _lines(head, *people, Exported(kind="block", block="eve"), entry, gone, Exported(kind="end", end=2))
    yield _lines(head, *people, entry)
    yield _lines(Exported(kind="end", end=0))
    yield _lines(head) * 2
    for value in ODD_JSON:
        yield _lines(head) + b'{"kind":"contact","contact":%b}\n' % value
        yield b'{"kind":"account","account":%b}\n' % value
        yield b'{"kind":%b}\n' % value
    yield b"\n" * 2_000
    yield b"\0" * 2_000


TARGET = Target(
    name="import_file",
    one=one,
    documented=(Failure,),
    memory=Memory(for_each_byte=16, beside=64 * 1024),
    seeds=seeds,
    tokens=(b'{"kind":"entry","entry":', b'"kind":"end","end":', b'"account":', b'"erased":', b"\n", *JSON_TOKENS),
    bytes_max=8_192,
)
