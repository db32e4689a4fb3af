"""What browsers get: the SDK, the chat page and the console, as files.

In a checkout they stand beside this package, in `web/sdk`, `web/chat` and `web/console`; installed, they are in it.
"""

from pathlib import Path

FOLDERS = ("sdk", "chat", "console")
"""What may be served, each at the path of its name."""


def _files() -> Path:
    here = Path(__file__).parent
    return here if any((here / name).is_dir() for name in FOLDERS) else here.parent


FILES = _files()
"""Where these folders are."""
