"""The console as somebody uses it who administers a broker."""

import re
from urllib.parse import quote

from playwright.sync_api import Locator, Page, expect

from web.browser import Profiles, WebBroker

CONSOLE = """
web_admin = true

[retention]
count = 20
interval_s = 86400
hold_days = 0.0

[passwords]
memory_kib = 64
passes = 1
"""
"""A broker whose admins come by the web, with rules that would trim much, and a walk that does not come by itself."""


def new_admin(broker: WebBroker, name: str, role: str) -> str:
    """The token of a new admin."""
    added = broker.ask("admins", "add", name, "--role", role)
    assert added.exit_code == 0, added.stderr
    return added.stdout.strip()


class Console:
    """A tab of the console, with somebody signed in."""

    def __init__(self, profiles: Profiles, token: str, place: str = "overview", **options: object) -> None:
        # Without a token the page asks who it is, and is told that it is nobody: the browser notes that as a failure.
        profiles.network_may_fail = True
        self.page: Page = profiles.page("/console", **options)
        self.page.get_by_label("Token").fill(token)
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page.get_by_role("heading", level=1, name="Overview")).to_be_visible()
        if place != "overview":
            self.go(place)

    def go(self, place: str) -> None:
        """Go to a view, by its address."""
        self.page.evaluate("place => { location.hash = place; }", f"#/{place}")
        expect(self.page.locator("main")).to_have_attribute("data-shown", f"#/{place}")

    def table(self, caption: str) -> Locator:
        """The table whose caption begins so."""
        return self.page.get_by_role("table", name=re.compile(f"^{re.escape(caption)}"))

    def row(self, caption: str, text: str) -> Locator:
        """The row of a table that has this text in it."""
        return self.table(caption).locator("tbody tr").filter(has_text=text)

    def cell(self, caption: str, text: str, label: str) -> Locator:
        """In the row with this text, what stands below a label."""
        return self.row(caption, text).locator(f'[data-label="{label}"]')

    @property
    def dialog(self) -> Locator:
        """The dialog that is open."""
        return self.page.locator("dialog[open]")


def part(name: str) -> str:
    """A name as part of an address of the console."""
    return quote(name, safe="")
