"""Files as they are served, and no way to any other."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import roost_web
from roost_broker.web import pages
from roost_broker.web.pages import Pages, is_known


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "web"
    for name in ("chat/index.html", "chat/chat.css", "chat/parts/list.js", "console/index.html", "sdk/roost.js"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "chat/.hidden.js").write_text("hidden")
    (root / "chat/notes.org").write_text("of no type that is served")
    (root / "secret.js").write_text("beside the folders")
    (tmp_path / "outside.js").write_text("outside")
    return root


@pytest.mark.parametrize(
    ("path", "content_type", "file"),
    [
        ("/", "text/html; charset=utf-8", "chat/index.html"),
        ("/chat", "text/html; charset=utf-8", "chat/index.html"),
        ("/chat/chat.css", "text/css; charset=utf-8", "chat/chat.css"),
        ("/chat/parts/list.js", "text/javascript; charset=utf-8", "chat/parts/list.js"),
        ("/console", "text/html; charset=utf-8", "console/index.html"),
        ("/console/", "text/html; charset=utf-8", "console/index.html"),
        ("/sdk/roost.js", "text/javascript; charset=utf-8", "sdk/roost.js"),
    ],
)
def test_what_is_there(root: Path, path: str, content_type: str, file: str) -> None:
    page = Pages(root).find(path)
    assert page is not None
    assert (page.content_type, page.body) == (content_type, file.encode())


WAYS_OUT = [
    "/secret.js", "/chat/../secret.js", "/chat/%2e%2e/secret.js", "/chat/..%2fsecret.js", "/chat\\..\\secret.js",
    "/chat/..\\secret.js", "/chat/%5c..%5csecret.js", "/chat/chat.css\0", "/chat/chat.css%00.js", "//chat/chat.css",
    "/chat//chat.css", "/chat/./chat.css", "/chat/.hidden.js", "/chat/notes.org", "/chat/nothing.js", "/chat/parts",
    "/chat/parts/", "/chat/chat.css/", "/chat/chat.css/x.js", "chat/chat.css", "", "/sdk", "/sdk/", "/CHAT/chat.css",
    "/chat/chat.css ", "/chat/chat.css\n", "/chat/ch%61t.css", "/etc/passwd", "/../outside.js", "/chat/link.js",
    "/chat/folder/secret.js", "/chat/" + "x" * 5_000 + ".js", "/chat/ｃhat.css", "file:///etc/passwd",
]  # fmt: skip


@pytest.mark.parametrize("path", WAYS_OUT)
def test_nothing_else(root: Path, path: str) -> None:
    (root / "chat/link.js").symlink_to(root.parent / "outside.js")
    (root / "chat/folder").symlink_to(root)
    assert Pages(root).find(path) is None


@given(st.text("/.%\\2ef5cCHATchat0 \0jsx:", max_size=30))
def test_no_path_that_anybody_makes_up_leads_out(tmp_path_factory: pytest.TempPathFactory, path: str) -> None:
    root = tmp_path_factory.getbasetemp() / "property"
    (root / "chat").mkdir(parents=True, exist_ok=True)
    (root / "chat/js.js").write_text("x")
    (root / "s.js").write_text("secret")
    page = Pages(root).find("/chat" + path)
    assert page is None or page.body == b"x"


def test_a_link_that_stays_inside_is_a_file(root: Path) -> None:
    (root / "chat/again.css").symlink_to(root / "chat/chat.css")
    assert Pages(root).find("/chat/again.css") is not None


def test_a_file_that_changes_is_read_again(root: Path) -> None:
    found = Pages(root)
    before = found.find("/sdk/roost.js")
    assert found.find("/sdk/roost.js") is before, "kept"
    (root / "sdk/roost.js").write_text("another")
    os.utime(root / "sdk/roost.js", ns=(1, 1))
    after = found.find("/sdk/roost.js")
    assert before is not None
    assert after is not None
    assert (after.body, after.etag != before.etag) == (b"another", True)
    (root / "sdk/roost.js").unlink()
    assert found.find("/sdk/roost.js") is None


def test_a_file_that_is_too_large_is_not_served(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "FILE_BYTES_MAX", 10)
    (root / "sdk/roost.js").write_bytes(b"x" * 10)
    assert Pages(root).find("/sdk/roost.js") is not None
    (root / "sdk/large.js").write_bytes(b"x" * 11)
    assert Pages(root).find("/sdk/large.js") is None


def test_folders_that_are_not_there(tmp_path: Path) -> None:
    assert Pages(tmp_path / "nothing").find("/") is None


@pytest.mark.parametrize(
    ("said", "known"),
    [('"a"', True), ('W/"a"', True), ('"b", "a"', True), ("*", True), ('"b"', False), ("a", False), ("", False)],
)
def test_a_tag_that_is_known(said: str, known: bool) -> None:
    assert is_known('"a"', said) is known


def test_the_folders_of_the_package_are_beside_it_in_a_checkout() -> None:
    assert roost_web.FILES.name in ("web", "roost_web")
    assert roost_web.FOLDERS == ("sdk", "chat", "console")
