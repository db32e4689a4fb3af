"""The files of `roost_web`, as they are served.

What is asked for becomes a path of the file system only if it is made of plain names: our files have no others. So
there is nothing to decode, and no way out of a folder; that a link inside does not lead out is looked at as well.
"""

import os
import re
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from roost_protocol.limits import MIB

FILE_BYTES_MAX = 4 * MIB
"""A file that is larger is not served: it is kept in memory, and does not belong on a page."""

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".ts": "text/plain; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
}
"""What is served at all, by the end of its name."""

_INDEX = {"/": "/chat/index.html"} | {
    path: f"/{name}/index.html" for name in ("chat", "console") for path in (f"/{name}", f"/{name}/")
}

_PATH = re.compile(r"/(sdk|chat|console)((?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)+)", re.ASCII)


class Page(NamedTuple):
    """A file: what it is, its tag (RFC 9110, 8.8.3) and its bytes."""

    content_type: str
    etag: str
    body: bytes


class _Kept(NamedTuple):
    changed: tuple[int, int]
    page: Page


class Pages:
    """Files under `root`, each read when it is asked for the first time, and again when it has changed."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._kept: dict[str, _Kept] = {}  # of files that are there, so no more than there are

    def find(self, path: str) -> Page | None:
        """What is at the path of a URL, as it was sent; None if there is nothing. Reads from the disk."""
        path = _INDEX.get(path, path)
        asked = _PATH.fullmatch(path)
        content_type = _TYPES.get(Path(path).suffix)
        if asked is None or content_type is None:
            return None
        try:
            file = (self._root / path[1:]).resolve(strict=True)
            if not file.is_relative_to(self._root / asked[1]) or not file.is_file():
                return None
            found = file.stat()
            changed = (found.st_mtime_ns, found.st_size)
            kept = self._kept.get(path)
            if kept is None or kept.changed != changed:
                kept = self._kept[path] = _Kept(changed, _read(file, content_type))
        except (OSError, ValueError):
            return None
        return kept.page


def _read(file: Path, content_type: str) -> Page:
    """Raises OSError, and ValueError for a file that is too large."""
    with file.open("rb") as opened:
        size = os.fstat(opened.fileno()).st_size  # room is made for as much as is asked for, whatever there is
        if size > FILE_BYTES_MAX:
            raise ValueError(f"{file} has more than {FILE_BYTES_MAX} bytes")
        body = opened.read(size)
    return Page(content_type, f'"{blake2b(body, digest_size=12).hexdigest()}"', body)


def is_known(etag: str, if_none_match: str) -> bool:
    """Whether who asks has the same already (RFC 9110, 13.1.2: weakly compared)."""
    known = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in known or known == ["*"]
