"""The in-memory model: what each operation on admins does to a `State`."""

import hmac

from roost_broker.store import refusals
from roost_broker.store.memory_operations import Batch
from roost_broker.store.memory_state import State, first
from roost_broker.store.operations import AddAdmin, Done, Refused, RemoveAdmin
from roost_broker.store.readings import AdminRecord


def add_admin(state: State, op: AddAdmin, batch: Batch) -> Done | Refused:
    """Add an admin with a token."""
    if op.name in state.admins:
        return refusals.admin_exists(op.name)
    if len(state.admins) >= batch.limits.admins_max:
        return refusals.too_many("admins", batch.limits.admins_max)
    state.admins[op.name] = AdminRecord(name=op.name, role=op.role, token_digest=op.token_digest, created=batch.now_ms)
    return Done()


def remove_admin(state: State, op: RemoveAdmin, batch: Batch) -> Done | Refused:
    """Remove an admin; his token does not count any more."""
    del batch
    if op.name not in state.admins:
        return refusals.unknown_admin(op.name)
    del state.admins[op.name]
    return Done()


def list_admins(state: State, after: str, limit: int) -> tuple[AdminRecord, ...]:
    """See `Store.list_admins`."""
    admins = [admin for admin in state.admins.values() if admin.name.encode() > after.encode()]
    return tuple(sorted(admins, key=lambda admin: admin.name.encode())[:limit])


def admin_by_digest(state: State, digest: bytes) -> AdminRecord | None:
    """See `Store.admin_by_digest`."""
    return first(admin for admin in state.admins.values() if hmac.compare_digest(admin.token_digest, digest))
