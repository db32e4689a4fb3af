"""Where messages are kept: the port, its in-memory model, and LMDB."""

from roost_broker.store.errors import (
    CommitRefused,
    CopyFailed,
    OutcomeUnknown,
    ReadFailed,
    StoreError,
    StoreInUse,
    StoreUnusable,
)
from roost_broker.store.port import Store

__all__ = [
    "CommitRefused",
    "CopyFailed",
    "OutcomeUnknown",
    "ReadFailed",
    "Store",
    "StoreError",
    "StoreInUse",
    "StoreUnusable",
]
