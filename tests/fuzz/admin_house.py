"""The admin API of a house for somebody who may everything, and what nobody may at random."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from broker.house import House
from broker.http.admin_door import acting
from roost_broker.audit import AuditLog
from roost_broker.http.admin import AdminApi
from roost_broker.offload import InlineOffload
from roost_broker.readiness import ReadinessCheck
from roost_protocol.admin.backup import BACKUP


@cache
def _audit_path() -> Path:
    shm = Path("/dev/shm")  # noqa: S108 - made there by mkdtemp, for ourselves alone
    return Path(mkdtemp(prefix="roost-fuzz-", dir=shm if shm.is_dir() else None)) / "audit.log"


@contextmanager
def admin_api(house: House) -> Iterator[AdminApi]:
    """The API, with an empty audit log."""
    path = _audit_path()
    path.unlink(missing_ok=True)
    audit = AuditLog(path, InlineOffload(), house.core.now_ms)
    try:
        yield AdminApi(house.broker.admin, acting(), audit, ReadinessCheck(house.core, audit))
    finally:
        audit.close()


def asks_for_a_file(target: str) -> bool:
    """Whether a request would write to this machine's disk, wherever it says."""
    return BACKUP.path.rpartition("/")[-1] in target
