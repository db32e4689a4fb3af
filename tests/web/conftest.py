"""What the tests in a browser share: one browser, a broker for each module, profiles for each test."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from web.browser import Profiles, WebBroker, running_chromium


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests: a profile of its own keeps each apart."""
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
