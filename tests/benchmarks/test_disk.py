"""What a disk is said to allow."""

from pathlib import Path

import pytest

from roost_benchmarks import disk, floor

MOUNTS = """\
overlay / overlay rw 0 0
tmpfs /run tmpfs rw 0 0
/dev/sda1 /srv ext4 rw 0 0
/dev/sdb1 /srv/with\\040blank xfs rw 0 0
server:/x /srv/net nfs4 rw 0 0
"""

FIGURES = {
    "fdatasync_ms": 0.1, "commit_1_ms": 0.4, "commit_1_p99_ms": 0.8, "commit_16_ms": 1.0, "commit_256_ms": 3.2,
}  # fmt: skip


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/", "overlay"),
        ("/srv", "ext4"),
        ("/srv/roost", "ext4"),
        ("/srvx", "overlay"),
        ("/srv/with blank/x", "xfs"),
        ("/srv/net/a", "nfs4"),
        ("/run/roost", "tmpfs"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(folder: str, kind: str) -> None:
    assert disk.file_system(Path(folder), MOUNTS) == kind


def test_where_nothing_says_so_it_is_unknown() -> None:
    assert disk.file_system(Path("/srv"), "") == "unknown"
    assert disk.file_system(Path("/"), "one two") == "unknown"


@pytest.mark.parametrize(
    ("sync_ms", "kind", "words"),
    [
        (0.1, "ext4", "a good disk"),
        (2.0, "ext4", "fair"),
        (12.0, "ext4", "turning disk"),
        (0.005, "ext4", "no medium is that fast"),
        (0.005, "tmpfs", "nothing on it survives"),
        (0.1, "nfs4", "does not belong there"),
    ],
)
def test_a_disk_is_judged_by_its_sync_and_its_kind(sync_ms: float, kind: str, words: str) -> None:
    assert words in disk.expectation({**FIGURES, "fdatasync_ms": sync_ms}, kind)[0]


def test_the_expectation_has_latency_and_messages_per_second() -> None:
    text = " ".join(disk.expectation(FIGURES, "ext4"))
    assert "on disk after 0.40 ms" in text
    assert "about 2,500 messages/s" in text
    assert "up to 80,000 messages/s in commits of 256" in text


def test_a_folder_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    found = disk.measured(tmp_path, body_bytes=128, rounds=2)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert found.folder == str(tmp_path)
    assert set(found.messages_per_s_at_most) == {str(size) for size in floor.SIZES}
    assert len(found.expect) == 4


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        disk.measured(tmp_path / "nowhere", body_bytes=128, rounds=2)
