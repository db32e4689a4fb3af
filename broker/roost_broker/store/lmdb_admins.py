"""Admins in the LMDB store: few enough that whose token it is is found by looking at each."""

import hmac
from typing import TYPE_CHECKING

from roost_broker.store import refusals
from roost_broker.store.lmdb_batch import Batch
from roost_broker.store.lmdb_tables import AdminRecord as Row
from roost_broker.store.lmdb_tables import Tables, admin_record, pack_record
from roost_broker.store.operations import AddAdmin, Done, Refused, RemoveAdmin
from roost_broker.store.readings import AdminRecord

if TYPE_CHECKING:
    from roost_broker.store.lmdb_tables import Transaction


def add_admin(batch: Batch, op: AddAdmin) -> Done | Refused:
    """Add an admin with a token."""
    txn, table = batch.txn, batch.tables.admins
    if txn.get(op.name.encode(), db=table) is not None:
        return refusals.admin_exists(op.name)
    most = batch.limits.admins_max
    if txn.stat(table)["entries"] >= most:
        return refusals.too_many("admins", most)
    row = Row(op.role, op.token_digest, batch.now_ms)
    txn.put(op.name.encode(), pack_record(row), db=table)
    return Done()


def remove_admin(batch: Batch, op: RemoveAdmin) -> Done | Refused:
    """Remove an admin; his token does not count any more."""
    if not batch.txn.delete(op.name.encode(), db=batch.tables.admins):
        return refusals.unknown_admin(op.name)
    return Done()


def list_admins(txn: "Transaction", tables: Tables, after: str, limit: int) -> tuple[AdminRecord, ...]:
    """See `Store.list_admins`."""
    every = (admin for admin in _every(txn, tables) if admin.name.encode() > after.encode())
    return tuple(admin for admin, _ in zip(every, range(limit), strict=False))


def admin_by_digest(txn: "Transaction", tables: Tables, digest: bytes) -> AdminRecord | None:
    """See `Store.admin_by_digest`."""
    found = None
    for admin in _every(txn, tables):
        if hmac.compare_digest(admin.token_digest, digest):
            found = admin
    return found


def _every(txn: "Transaction", tables: Tables) -> list[AdminRecord]:
    with txn.cursor(tables.admins) as cursor:
        rows = [(key.decode(), admin_record(value)) for key, value in cursor]
    return [
        AdminRecord(name=name, role=row.role, token_digest=row.token_digest, created=row.created) for name, row in rows
    ]
