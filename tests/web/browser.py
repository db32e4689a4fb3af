"""A real browser for tests: Debian's Chromium, driven by Playwright, and a broker with a web listener.

A fault of a page (an error on its console, an exception nobody caught, something its content security policy kept
from running, a dialog that nobody expected) fails the test it happened in.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from admin.running import CHEAP, WAIT_S, RunningBroker

CHROMIUM = Path("/usr/bin/chromium")
"""Debian's: Playwright brings its own browsers by download only, which not every machine can do."""

ARGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""Tests run as root in a container, without a display, and nothing may call home."""

INSTALL_S = 600.0

WAIT_MS = WAIT_S * 1000
"""How long Playwright waits for what should come: far more than it takes, even on a busy machine."""

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}

NETWORK_DOWN = re.compile(r"net::ERR_|WebSocket connection to .* failed|Failed to load resource")
"""What a browser says on the console when a test takes the network or the broker away."""

WATCH_POLICY = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} kept ${event.blockedURI} out`));
"""


class WebBroker(RunningBroker):
    """`roost serve` with a web listener. `web` is where browsers find it.

    With the folder and the ports of one that has ended, it is the same broker, come back.
    """

    def __init__(self, folder: Path, *options: str, web: int = 0, tcp: int = 0, config: str = CHEAP) -> None:
        web_options = ("--web", f"127.0.0.1:{web}", *options)
        super().__init__(folder, *web_options, listen=f"127.0.0.1:{tcp}", config=config)
        self.web = f"http://{self.web_address}"
        self._config = config

    def come_back(self) -> "WebBroker":
        """Start it anew after it has ended, where it was."""
        tcp, web = (int(address.rpartition(":")[2]) for address in (self.address, self.web_address))
        return WebBroker(self.folder, web=web, tcp=tcp, config=self._config)


def why_no_browser() -> str:
    """Why there is no browser here, or nothing. Installs Chromium where that is allowed and it is missing."""
    if CHROMIUM.exists():
        return ""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return f"{CHROMIUM} is missing, and only root can install it (apt-get install chromium)"
    for args in (("update",), ("install", "-y", "--no-install-recommends", "chromium")):
        ran = subprocess.run(
            ["apt-get", "-qq", *args],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            capture_output=True, text=True, timeout=INSTALL_S, check=False,
        )  # fmt: skip
        if ran.returncode != 0:
            return f"apt-get {' '.join(args)} failed: {ran.stderr[-500:]}"
    return "" if CHROMIUM.exists() else f"chromium was installed, but not as {CHROMIUM}"


def require_chromium() -> None:
    """Skip the test if there is no browser, but fail in CI."""
    reason = why_no_browser()
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """A browser with nothing in it. Skips if there is none, but fails in CI."""
    require_chromium()
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGS), headless=True)
        try:
            yield browser
        finally:
            browser.close()


class Profiles:
    """The browser profiles of one test: each with storage of its own, as that of another person or machine.

    `network_may_fail`: set by a test that takes the network away; what browsers say about that is then no fault.
    """

    def __init__(self, browser: Browser, base_url: str) -> None:
        self._browser = browser
        self._base_url = base_url
        self._contexts: list[BrowserContext] = []
        self.faults: list[str] = []
        self.network_may_fail = False

    def profile(self, **options: Any) -> BrowserContext:
        """A new profile; `options` as for Playwright's `Browser.new_context`."""
        options = {"viewport": DESKTOP, "locale": "en-GB", "timezone_id": "UTC", **options}
        context = self._browser.new_context(base_url=self._base_url, **options)
        context.set_default_timeout(WAIT_MS)
        context.add_init_script(WATCH_POLICY)
        context.on("page", self._watch)
        self._contexts.append(context)
        return context

    def page(self, path: str = "/", **options: Any) -> Page:
        """A tab in a new profile, at `path`."""
        page = self.profile(**options).new_page()
        page.goto(path)
        return page

    def close(self) -> None:
        """Close them all, and fail if a page had a fault."""
        for context in self._contexts:
            context.close()
        faults = [fault for fault in self.faults if not (self.network_may_fail and NETWORK_DOWN.search(fault))]
        assert not faults, "faults of pages:\n" + "\n".join(faults)

    def _watch(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(f"exception: {error}"))
        page.on("dialog", self._dialog)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            where = message.location
            self.faults.append(f"console: {message.text} ({where.get('url')}:{where.get('lineNumber')})")

    def _dialog(self, dialog: Any) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()
