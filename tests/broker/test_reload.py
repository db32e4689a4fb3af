"""The table of what a reload can change: it names values that exist, and those that change are read where it says."""

import inspect

import pytest

from roost_broker import accounts, batcher, delivery, link, login, outlet, requests, server, session
from roost_broker.administration import acts
from roost_broker.config import Config
from roost_broker.reload import AT_ONCE, NEW_CONNECTIONS, RELOADABLE, changes, config_rows, effect
from roost_broker.settings import leaves, settings_of
from roost_broker.store import lmdb
from roost_protocol import connection
from roost_protocol.admin.config import ConfigChange
from roost_protocol.limits import Limits


def test_the_table_names_values_that_exist_and_each_once() -> None:
    assert set(leaves()) >= RELOADABLE
    assert not AT_ONCE & NEW_CONNECTIONS


@pytest.mark.parametrize(
    ("key", "when"),
    [
        ("log_level", "at once"),
        ("retention.count", "at once"),
        ("limits.keepalive_s", "new connections"),
        ("limits.publish_max", "restart"),
        ("data", "restart"),
        ("listen", "restart"),
        ("store.map_bytes", "restart"),
        ("passwords.passes", "restart"),
    ],
)
def test_when_a_value_takes_effect(key: str, when: str) -> None:
    assert effect(key) == when


COPIED = (accounts, batcher, delivery, lmdb)
"""Parts that are given the limits once, when the broker starts."""


@pytest.mark.parametrize("key", sorted(key for key in RELOADABLE if key.startswith("limits.")))
def test_no_part_keeps_a_limit_that_is_said_to_change(key: str) -> None:
    """A part that is made once must not read it; whoever reads it does so through the core, or for a new connection."""
    name = key.removeprefix("limits.")
    for module in COPIED:
        assert f"limits.{name}" not in inspect.getsource(module), module.__name__


@pytest.mark.parametrize("key", sorted(key for key in AT_ONCE if key.startswith("limits.")))
def test_a_limit_that_changes_at_once_is_not_kept_by_a_connection(key: str) -> None:
    name = key.removeprefix("limits.")
    for module in (link, outlet, connection, session):
        assert f"limits.{name}" not in inspect.getsource(module), module.__name__


def test_a_limit_that_is_read_through_the_core_is_read_each_time() -> None:
    """The core's limits are replaced as a whole: nobody may keep them."""
    for module in (login, requests, server, acts):
        source = inspect.getsource(module)
        assert "self._limits = " not in source, module.__name__
        assert "self.limits = " not in source, module.__name__


def test_changes_are_told_with_their_effect() -> None:
    before, after = Config(), Config(drain_s=1, limits=Limits(fetch_max=7, publish_max=8))
    assert list(changes(settings_of(before), settings_of(after))) == [
        ConfigChange(key="drain_s", before=5, after=1, effect="at once"),
        ConfigChange(key="limits.publish_max", before=256, after=8, effect="restart"),
        ConfigChange(key="limits.fetch_max", before=200, after=7, effect="at once"),
    ]


def test_every_value_has_a_row() -> None:
    settings = settings_of(Config())
    rows = list(config_rows(settings, settings))
    assert [row.key for row in rows] == list(leaves())
    for row in rows:
        if row.key.startswith("limits."):
            assert row.unit
            assert row.reason
            assert row.at_least is not None
        if row.key.endswith(("_s", "_days", "_kib")) or "bytes" in row.key:
            assert row.unit, row.key
