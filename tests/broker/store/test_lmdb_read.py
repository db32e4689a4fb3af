"""What is read of a store that is damaged: nothing, rather than something that stands in the wrong place."""

from pathlib import Path

from broker.store.damaging import ALICE, BOB, damaging, make_store
from broker.store.world import SMALL_LIMITS, seeded
from roost_broker.store.lmdb import LmdbStore
from roost_broker.store.lmdb_tables import PAIR, SCROLL, WITH_USER


def test_a_conversation_with_an_entry_missing_is_not_read_with_its_neighbours_in_its_place(tmp_path: Path) -> None:
    make_store(tmp_path)
    with damaging(tmp_path) as rows:
        keys = [SCROLL.unpack(key) for key in rows.keys("scroll")]
        seqs = [seq for user, kind, peer, seq in keys if (user, kind, peer) == (BOB, WITH_USER, ALICE)]
        assert len(seqs) > 1
        rows.delete("inbox", PAIR.pack(BOB, seqs[1]))
    store = LmdbStore(tmp_path, limits=SMALL_LIMITS, random=seeded())
    try:
        page = store.read_conversation(BOB, "user/alice", after=0, limit=10, bytes_max=100_000)
        assert [entry.seq for entry in page.entries] == seqs
        assert [entry.seq for entry in page.entries if entry.kind == "damaged"] == seqs[1:2]
        first = store.read_conversation(BOB, "user/alice", after=0, limit=1, bytes_max=100_000)
        assert [entry.seq for entry in first.entries] == seqs[:1], "what is before it can be read"
    finally:
        store.close()
