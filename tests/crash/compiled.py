"""Libraries of these tests, which are loaded into a process before all others (LD_PRELOAD)."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FLAGS = ("-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")


def compiled(source: str, folder: Path) -> Path:
    """The library made of a source file beside this one. Skips the test where there is no compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        if os.environ.get("CI"):
            subprocess.run(["apt-get", "install", "-qq", "-y", "gcc", "libc6-dev"], check=True, capture_output=True)
            compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("there is no C compiler")
    library = folder / Path(source).with_suffix(".so").name
    subprocess.run([compiler, *FLAGS, "-o", library, HERE / source, "-ldl", "-lpthread"], check=True)
    return library
