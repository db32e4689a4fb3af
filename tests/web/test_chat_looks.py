"""How the chat page looks and whether everybody can use it: pictures of its views, and axe-core's verdict on each.

axe-core is by Deque Systems (Mozilla Public License 2.0); `axe-playwright-python` brings it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from web.browser import DESKTOP, PHONE, Profiles, WebBroker
from web.devices import TcpDevice
from web.person import Person

pytestmark = [pytest.mark.process, pytest.mark.browser]

GRAVE = ("serious", "critical")

Options = dict[str, Any]

DESK: Options = {"viewport": DESKTOP}
DARK: Options = {"viewport": DESKTOP, "color_scheme": "dark"}
NARROW: Options = {"viewport": PHONE, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}
NARROW_DARK: Options = {**NARROW, "color_scheme": "dark"}


OTHERS = {
    "Carla": "See you on Sunday",
    "Dimitri": "The report is on your desk. It is longer than I had hoped.",
    "Zoë": "Thank you!",
}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[WebBroker]:
    """A broker on which a few people have talked: alice, on her phone so far, bob, and some others."""
    with WebBroker(tmp_path) as running:
        running.create_users("alice", "bob", *OTHERS)
        talk(running)
        yield running


def talk(broker: WebBroker) -> None:
    for name, text in OTHERS.items():
        with TcpDevice(broker.address, name, "bot") as other:
            other.publish("user/alice", text)
    with (
        TcpDevice(broker.address, "alice", "pad") as pad,
        TcpDevice(broker.address, "bob", "pc") as bob,
        TcpDevice(broker.address, "Carla", "pad") as carla,
    ):
        bob.create_group("Chess club", "alice", *OTHERS)
        bob.publish("group/Chess club", "We are in the back room tonight.")
        carla.publish("group/Chess club", "Who brings the clock?")
        bob.publish("group/Chess club", "I have two. One of them works.")
        bob.publish("user/alice", "Are you coming tonight?")
        pad.publish("user/bob", "I think so. The train is late again, though.")
        pad.publish("user/bob", "Start without me if it gets late.")
        bob.publish("user/alice", "We will wait. Take the back door, the front one is locked after eight.")


def in_conversation(page: Page) -> Person:
    """Log in, open the conversation, and say something."""
    person = Person(page).log_in("alice", "Phone" if page.evaluate("innerWidth < 720") else "PC")
    person.open("bob")
    person.send("Good. Ten minutes!")
    person.sees_stored("Good. Ten minutes!")
    return person


def grave_faults(page: Page) -> list[str]:
    """What axe-core finds that keeps somebody out, each with where it is."""
    found: dict[str, Any] = Axe().run(page).response
    return [
        f"{fault['impact']}: {fault['help']} ({', '.join(str(node['target']) for node in fault['nodes'][:5])})"
        for fault in found["violations"]
        if fault["impact"] in GRAVE
    ]


Act = Callable[[Page], None]


def _click(selector: str) -> Act:
    return lambda page: page.locator(selector).click()


def _nothing(page: Page) -> None:
    """The conversation as it is."""


def _list(page: Page) -> None:
    page.keyboard.press("Escape")
    expect(page.get_by_role("navigation", name="Conversations")).to_be_visible()


def _refused(page: Page) -> None:
    person = Person(page)
    person.write_to("nobody")
    person.send("Hello?")
    expect(person.message("Hello?")).to_contain_text("Not sent.")


def _group(page: Page) -> None:
    if page.get_by_role("navigation", name="Conversations").is_hidden():
        _list(page)
    page.locator(".conversation").filter(has_text="Chess").click()
    expect(page.get_by_text("I have two. One of them works.").last).to_be_visible()


def _members(page: Page) -> None:
    _group(page)
    page.locator("#open-about").click()
    expect(page.locator("#members li")).to_have_count(5)


def _devices(page: Page) -> None:
    if page.get_by_role("navigation", name="Conversations").is_hidden():
        _list(page)
    page.locator("#open-devices").click()
    expect(page.locator("#devices .badge")).to_be_visible()


VIEWS: tuple[tuple[str, Options, Act], ...] = (
    ("desktop", DESK, _nothing),
    ("dark", DARK, _nothing),
    ("phone", NARROW, _nothing),
    ("phone-list", NARROW, _list),
    ("phone-dark", NARROW_DARK, _group),
    ("new", DESK, _click("#open-new")),
    ("people", DARK, _click("#open-people")),
    ("about", DESK, _click("#open-about")),
    ("members", DESK, _members),
    ("devices", NARROW, _devices),
    ("refused", DARK, _refused),
)


@pytest.mark.parametrize(("name", "options", "act"), VIEWS, ids=[view[0] for view in VIEWS])
def test_a_view(name: str, options: Options, act: Act, broker: WebBroker, profiles: Profiles, pictures: Path) -> None:
    with TcpDevice(broker.address, "bob", "phone"):
        page = profiles.page(**options)
        person = in_conversation(page)
        expect(page.locator("#peer-state")).to_have_text("Online on phone")
        expect(person.log.get_by_text("from your tablet")).to_be_visible()
        act(page)
        page.screenshot(path=pictures / f"chat-{name}.png", animations="disabled", caret="hide")
        assert grave_faults(page) == []


@pytest.mark.parametrize(("name", "options"), [("login", DESK), ("login-phone", NARROW_DARK)])
def test_the_log_in(name: str, options: Options, profiles: Profiles, pictures: Path) -> None:
    page = profiles.page(**options)
    page.locator("#login-go").click()
    expect(page.locator("#login-problem")).to_be_visible()
    assert grave_faults(page) == []
    page.reload()
    page.locator("#login-user").fill("alice")
    page.screenshot(path=pictures / f"chat-{name}.png", animations="disabled", caret="hide")


@pytest.mark.parametrize(("name", "options"), [("kicked", DESK), ("kicked-phone", NARROW_DARK)])
def test_the_notice_of_a_takeover(
    name: str, options: Options, broker: WebBroker, profiles: Profiles, pictures: Path
) -> None:
    page = profiles.page(**options)
    person = in_conversation(page)
    with TcpDevice(broker.address, "alice", "phone" if options is NARROW_DARK else "pc"):
        expect(person.notice).to_be_visible()
        page.screenshot(path=pictures / f"chat-{name}.png", animations="disabled", caret="hide")
        assert grave_faults(page) == []
        person.notice.get_by_role("button", name="Only read").click()
        assert grave_faults(page) == []


def test_without_a_connection(profiles: Profiles, pictures: Path) -> None:
    profiles.network_may_fail = True
    page = profiles.page(**DARK)
    person = in_conversation(page)
    expect(person.log.get_by_text("from your tablet")).to_be_visible()
    page.route_web_socket("**/ws", lambda route: route.close(code=1013))
    page.reload()
    expect(person.log.get_by_text("from your tablet")).to_be_visible()
    person.send("Is anybody there?")
    expect(page.locator("#offline")).to_contain_text("1 message waits to be sent.")
    page.screenshot(path=pictures / "chat-offline.png", animations="disabled", caret="hide")
    assert grave_faults(page) == []


def test_nothing_moves_for_those_who_asked_for_that(profiles: Profiles) -> None:
    page = profiles.page(reduced_motion="reduce")
    moving = "[...document.querySelectorAll('*')].filter((each) => getComputedStyle(each).animationName !== 'none')"
    page.evaluate("document.body.append(Object.assign(document.createElement('div'), { className: 'toast' }))")
    assert page.evaluate(f"{moving}.length") == 0
