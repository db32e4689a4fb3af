"""Whether the peers are here, and what is said where they cannot be had."""

import os
import shutil
from pathlib import Path

import pytest

from roost_benchmarks import peers


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no program but those put into this folder."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(peers, "PLACES", str(tmp_path))
    return tmp_path


def put(folder: Path, name: str, script: str = "") -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_what_is_there_is_found(nowhere: Path) -> None:
    put(nowhere, "mosquitto")
    assert peers.program("mosquitto") == str(nowhere / "mosquitto")
    assert peers.missing() == ["prosody"]


def test_where_nothing_is_missing_nothing_is_done(nowhere: Path) -> None:
    for name in peers.PACKAGES:
        put(nowhere, name)
    said: list[str] = []
    assert peers.provide(said.append) == []
    assert said == []


def test_without_a_package_manager_it_says_what_to_install(nowhere: Path) -> None:
    said: list[str] = []
    (note,) = peers.provide(said.append)
    assert "mosquitto, prosody not measured" in note
    assert "apt-get install mosquitto prosody" in note
    assert said == []


@pytest.mark.process
def test_as_root_they_are_installed_and_not_started(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = shutil.which("touch", path=os.defpath)
    put(
        nowhere, "apt-get", f'echo "$RUNLEVEL $*" >> {nowhere}/calls\n[ "$1" = install ] && {shell} {nowhere}/mosquitto'
    )
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    said: list[str] = []
    notes = peers.provide(said.append)
    assert said == ["installing mosquitto, prosody"]
    calls = (nowhere / "calls").read_text().splitlines()
    assert calls == ["1 update -qq", "1 install -qq -y --no-install-recommends mosquitto prosody"]
    # A file that cannot be run is no program: both are said to be missing still.
    assert [note.partition(" ")[0] for note in notes] == ["mosquitto", "prosody"]
