"""The peers' programs: are they here, and if not, can they be installed from Debian's packages?"""

import os
import shutil
import subprocess
from collections.abc import Callable
from typing import Final

PACKAGES: Final = {"mosquitto": "mosquitto", "prosody": "prosody"}
"""Debian's package for each peer; its program has the peer's name."""

PLACES: Final = os.pathsep.join((os.defpath, "/usr/local/sbin", "/usr/sbin", "/sbin"))
"""Where programs are, beside PATH: Mosquitto is in a folder that is not in everybody's."""

INSTALL_S: Final = 180


def program(name: str) -> str | None:
    """The path of a peer's program; None if it is not installed."""
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), PLACES)))


def missing() -> list[str]:
    """The peers that are not installed."""
    return [name for name in PACKAGES if program(name) is None]


def provide(say: Callable[[str], None]) -> list[str]:
    """Install the peers that are missing, as root on a Debian; what could not be installed, a sentence each."""
    wanted = missing()
    if not wanted:
        return []
    by_hand = f"apt-get install {' '.join(PACKAGES[name] for name in wanted)}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return [f"{', '.join(wanted)} not measured: not installed (as root: {by_hand})"]
    say(f"installing {', '.join(wanted)}")
    for command in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", *_packages(wanted)]):
        _apt(command)
    return [f"{name} not measured: it could not be installed ({by_hand})" for name in missing()]


def _packages(wanted: list[str]) -> list[str]:
    return [PACKAGES[name] for name in wanted]


def _apt(arguments: list[str]) -> None:
    """One call of apt-get; whether it did what it should is seen by whether the programs are there."""
    # In runlevel 1 a package does not start its service (invoke-rc.d(8)): the suite starts its own.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    try:
        subprocess.run(
            ["apt-get", *arguments], env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=INSTALL_S,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return
