"""The fixtures themselves: whatever goes wrong on a page fails the test it happens in."""

import pytest
from playwright.sync_api import Browser, Page, expect

from web.browser import Profiles, WebBroker

pytestmark = [pytest.mark.process, pytest.mark.browser]


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("console.error('oh no')", "console: oh no"),
        ("setTimeout(() => { throw new Error('nobody caught it') })", "exception: nobody caught it"),
        ("setTimeout(() => alert('boo'))", "dialog: boo"),
        ("document.body.setAttribute('onclick', 'alert(1)')", "policy: script-src-attr kept inline out"),
        (
            "document.body.append(Object.assign(document.createElement('script'), { textContent: 'alert(1)' }))",
            "policy: script-src-elem kept inline out",
        ),
        ("document.body.setAttribute('style', 'color: red')", "policy: style-src-attr kept inline out"),
        (
            "document.body.append(Object.assign(new Image(), { src: 'http://127.0.0.2/x.png' }))",
            "policy: img-src kept http://127.0.0.2/x.png out",
        ),
    ],
)
def test_a_fault_of_a_page_is_seen(chromium: Browser, broker: WebBroker, script: str, fault: str) -> None:
    profiles = Profiles(chromium, broker.web)
    page = profiles.page()
    expect(page.get_by_role("button", name="Log in", exact=True)).to_be_visible()
    page.evaluate(script)
    _wait_for(page, profiles, fault)
    with pytest.raises(AssertionError, match="faults of pages"):
        profiles.close()


def test_a_page_without_faults_passes(profiles: Profiles) -> None:
    page = profiles.page()
    expect(page.get_by_role("button", name="Log in", exact=True)).to_be_visible()
    assert profiles.faults == []


def _wait_for(page: Page, profiles: Profiles, fault: str) -> None:
    """Let the page go on until the fault was told."""
    for _ in range(100):
        if any(fault in each for each in profiles.faults):
            return
        page.evaluate("new Promise(requestAnimationFrame)")
    raise AssertionError(f"{fault!r} was not told, but {profiles.faults}")
