"""Which messages get a page of their own, as LMDB itself has it."""

from pathlib import Path

import lmdb
import pytest

from roost_broker.store.lmdb_batch import own_page
from roost_broker.store.lmdb_tables import NUMBER


def own_pages(path: Path, size: int) -> int:
    """How many pages of its own LMDB gives a value of this size."""
    path.mkdir()
    with lmdb.open(str(path), max_dbs=1) as env:
        table = env.open_db(b"messages")
        with env.begin(table, write=True) as txn:
            txn.put(NUMBER.pack(1), bytes(size))
            return txn.stat(table)["overflow_pages"]


@pytest.mark.parametrize(("beyond", "pages"), [(0, (0, 1)), (1, (1, 2))])
def test_from_where_to_where_a_message_has_a_page_of_its_own(
    tmp_path: Path, beyond: int, pages: tuple[int, int]
) -> None:
    with lmdb.open(str(tmp_path), max_dbs=1) as env:
        page_bytes = env.stat()["psize"]
    edge = own_page(page_bytes)[beyond]
    assert (own_pages(tmp_path / "below", edge - 1), own_pages(tmp_path / "from", edge)) == pages
