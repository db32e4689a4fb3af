"""What the tests in a browser share: one browser, a broker for each module, profiles for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from web.browser import Profiles, WebBroker, running_chromium

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest tests/web --pictures`: the pictures of the docs are made anew."""
    parser.addoption("--pictures", action="store_true", help=f"write the pictures of the pages to {PICTURES}")


@pytest.fixture
def pictures(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where pictures of pages go: into the docs if that was asked for, else nowhere that stays."""
    return PICTURES if request.config.getoption("--pictures", default=False) else tmp_path


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for the tests of a module: a profile of its own keeps each apart.

    Not for the whole run: while Playwright is there, its asyncio loop counts as running, and tests of others that
    start one would fail.
    """
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebBroker]:
    """A broker with a web listener; the tests of a module share it, each with users of its own."""
    with WebBroker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture
def profiles(chromium: Browser, broker: WebBroker) -> Iterator[Profiles]:
    """Browser profiles for one test, closed at its end; faults of their pages fail it."""
    made = Profiles(chromium, broker.web)
    yield made
    made.close()
