"""Which device a chat is: the state files on this machine."""

from pathlib import Path

import pytest

from roost import FileState
from roost.state import Changes
from roost_admin.chat.installation import INSTALLATIONS_MAX, open_installation
from roost_admin.failures import EX_CONFIG, Failure


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "roost"


def test_the_first_start_makes_up_a_device(home: Path) -> None:
    with open_installation("alice", "pc", None) as first:
        assert first.path == home / "alice-pc.db"
        assert first.device.startswith("pc-")
        assert not first.has_token
    assert first.path.stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700


def test_a_later_start_is_the_same_device() -> None:
    with open_installation("alice", "pc", None) as first:
        state = FileState(first.path)
        state.open("alice", "pc")
        state.save(Changes(device="pc-known", token="t"))
        state.close()
    with open_installation("alice", "pc", None) as later:
        assert (later.path, later.device, later.has_token) == (first.path, "pc-known", True)


def test_one_that_is_open_meanwhile_is_another_device(home: Path) -> None:
    with open_installation("alice", "pc", None), open_installation("alice", "pc", None) as second:
        assert second.path == home / "alice-pc-2.db"
        with open_installation("alice", "phone", None) as other:
            assert other.path == home / "alice-phone.db"
    with open_installation("alice", "pc", None) as again:
        assert again.path == home / "alice-pc.db"


def test_there_is_a_bound() -> None:
    def open_one_more(left: int) -> None:
        with open_installation("alice", "pc", None):
            if left:
                open_one_more(left - 1)

    open_one_more(INSTALLATIONS_MAX - 1)
    with pytest.raises(Failure, match="--state") as caught:
        open_one_more(INSTALLATIONS_MAX)
    assert caught.value.exit_code == EX_CONFIG


def test_a_path_of_ones_own(tmp_path: Path) -> None:
    with open_installation("alice", "pc", tmp_path / "mine") as chosen:
        assert chosen.path == tmp_path / "mine"


def test_a_state_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database at all")
    with open_installation("alice", "pc", tmp_path / "alice"):
        pass
    for user, path, says in (
        ("alice", tmp_path / "text", "text"),
        ("bob", tmp_path / "alice", "belongs to alice"),
        ("alice", tmp_path / "text" / "in-a-file", "cannot be opened"),
    ):
        with pytest.raises(Failure, match=says) as caught, open_installation(user, "pc", path):
            pass
        assert caught.value.exit_code == EX_CONFIG


def test_a_home_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(Failure, match="--state") as caught, open_installation("alice", "pc", None):
        pass
    assert caught.value.exit_code == EX_CONFIG


def test_a_relative_state_home_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    with open_installation("alice", "pc", None) as found:
        assert found.path == tmp_path / ".local/state/roost/alice-pc.db"
