"""Sessions of the chat page in a real browser: takeovers, lost networks, reloads, tabs, and an inbox that changed."""

import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, WebSocketRoute, expect

from admin.running import CHEAP
from web.browser import Profiles, WebBroker
from web.devices import TcpDevice
from web.person import Person

pytestmark = [pytest.mark.process, pytest.mark.browser]

KEEPS_TWENTY = f"""
[retention]
count = 20
interval_s = 3600
{CHEAP}
"""


@pytest.fixture
def alone(chromium: Browser, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[WebBroker, Profiles]]:
    """A broker that a test may kill, and browsers that may say so on their consoles."""
    with WebBroker(tmp_path, config=getattr(request, "param", CHEAP)) as running:
        made = Profiles(chromium, running.web)
        made.network_may_fail = True
        yield running, made
        made.close()


class Network:
    """What lies between a page and the broker's WebSocket; made before the page is loaded."""

    def __init__(self, page: Page) -> None:
        self._up = True
        self._open: list[WebSocketRoute] = []
        page.route_web_socket(re.compile("/ws$"), self._connect)

    def cut(self) -> None:
        """Break every connection, and let none be made."""
        self._up = False
        for route in self._open:
            route.close(code=1011)
        self._open.clear()

    def mend(self) -> None:
        """Let connections be made again."""
        self._up = True

    def _connect(self, route: WebSocketRoute) -> None:
        if self._up:
            route.connect_to_server()
            self._open.append(route)
        else:
            route.close(code=1013)


def test_a_second_pc_ends_the_session_of_the_first_which_says_by_whom(broker: WebBroker, profiles: Profiles) -> None:
    broker.create_users("rosa", "sam")
    first = Person(profiles.page()).log_in("rosa", "PC")
    first.write_to("sam")
    second = Person(profiles.page()).log_in("rosa", "PC")
    expect(first.notice.get_by_role("heading")).to_have_text("You are logged in on another PC")
    expect(first.notice).to_contain_text("127.0.0.1:")
    expect(first.notice.get_by_role("button", name="Use here")).to_be_focused()
    first.notice.get_by_role("button", name="Only read").click()
    expect(first.page.get_by_label("Message", exact=True)).to_be_disabled()
    expect(first.page.locator("#me-state")).to_have_text("PC · stopped")
    first.page.reload()  # it stays away over a reload, too
    expect(first.notice.get_by_role("heading")).to_have_text("You are logged in on another PC")
    expect(second.page.locator("#me-state")).to_have_text("PC · online")
    first.notice.get_by_role("button", name="Use here").click()
    expect(second.notice.get_by_role("heading")).to_have_text("You are logged in on another PC")
    expect(first.notice).to_be_hidden()
    expect(first.page.locator("#me-state")).to_have_text("PC · online")
    first.send("back again")
    first.sees_stored("back again")


def test_a_browser_and_a_device_on_tcp_take_over_from_each_other(broker: WebBroker, profiles: Profiles) -> None:
    broker.create_users("tess")
    tess = Person(profiles.page()).log_in("tess", "Phone")
    with TcpDevice(broker.address, "tess", "phone") as phone:
        expect(tess.notice.get_by_role("heading")).to_have_text("You are logged in on another phone")
        expect(tess.notice.get_by_role("definition").first).to_have_text(phone.device)


def test_what_is_written_without_a_connection_arrives_once_when_there_is_one(
    alone: tuple[WebBroker, Profiles],
) -> None:
    broker, profiles = alone
    broker.create_users("alice", "bob")
    page = profiles.page()
    alice = Person(page).log_in("alice")
    alice.write_to("bob")
    alice.send("before")
    alice.sees_stored("before")
    broker.stop(signal.SIGKILL)
    banner = page.locator("#offline")
    expect(banner).to_contain_text("No connection.")
    for text in ("one", "two", "three"):
        alice.send(text)
        expect(alice.message(text).get_by_role("img", name="Waiting to be sent")).to_be_visible()
    expect(banner).to_contain_text("3 messages wait to be sent.")
    with broker.come_back() as again:
        page.locator("#offline-now").dispatch_event("click")  # it may have come back by itself already
        for text in ("before", "one", "two", "three"):
            alice.sees_stored(text)
        expect(banner).to_be_hidden()
        with TcpDevice(again.address, "bob", "phone") as bob:
            assert bob.bodies_until("three") == ["before", "one", "two", "three"]
        assert alice.texts() == ["before", "one", "two", "three"]
        page.reload()
        alice.sees("before", "one", "two", "three")
        assert alice.texts() == ["before", "one", "two", "three"]


def test_a_browser_that_is_cut_off_comes_back_by_itself(broker: WebBroker, profiles: Profiles) -> None:
    profiles.network_may_fail = True
    broker.create_users("uma", "vic")
    page = profiles.page()
    network = Network(page)
    page.reload()
    uma = Person(page).log_in("uma")
    uma.write_to("vic")
    uma.send("before the tunnel")
    uma.sees_stored("before the tunnel")
    network.cut()
    expect(page.locator("#offline")).to_contain_text("No connection.")
    uma.send("in the tunnel")
    expect(uma.message("in the tunnel").get_by_role("img", name="Waiting to be sent")).to_be_visible()
    with TcpDevice(broker.address, "vic", "phone") as vic:
        vic.publish("user/uma", "where are you?")
        network.mend()
        uma.sees_stored("in the tunnel")
        uma.sees("where are you?")
        assert vic.bodies_until("in the tunnel") == ["before the tunnel", "where are you?", "in the tunnel"]
        assert uma.texts() == ["before the tunnel", "where are you?", "in the tunnel"]


def test_a_reload_shows_the_conversation_without_a_network(alone: tuple[WebBroker, Profiles]) -> None:
    broker, profiles = alone
    broker.create_users("alice", "bob")
    page = profiles.page()
    alice = Person(page).log_in("alice")
    with TcpDevice(broker.address, "bob", "phone") as bob:
        bob.publish("user/alice", "keep this")
    alice.open("bob")
    alice.sees("keep this")
    page.route_web_socket(re.compile("/ws$"), lambda route: route.close(code=1013))
    page.reload()
    alice.sees("keep this")
    expect(alice.conversation("bob")).to_contain_text("keep this")
    expect(page.locator("#offline")).to_contain_text("No connection.")
    alice.send("later, then")
    expect(alice.message("later, then").get_by_role("img", name="Waiting to be sent")).to_be_visible()
    page.reload()  # what waits to be sent outlives the page
    expect(alice.message("later, then").get_by_role("img", name="Waiting to be sent")).to_be_visible()


def test_two_tabs_of_one_browser_share_a_session(broker: WebBroker, profiles: Profiles) -> None:
    broker.create_users("wanda", "xaver")
    context = profiles.profile()
    page = context.new_page()
    page.goto("/")
    first = Person(page).log_in("wanda")
    first.write_to("xaver")
    other = context.new_page()
    other.goto(page.url)
    second = Person(other)
    expect(other.locator("#me-state")).to_have_text("PC · online")
    second.send("from the second tab")
    for tab in (first, second):
        tab.sees_stored("from the second tab")
    with TcpDevice(broker.address, "xaver", "phone") as xaver:
        xaver.publish("user/wanda", "hello, both")
        for tab in (first, second):
            tab.sees("hello, both")
        expect(first.notice).to_be_hidden()
        expect(second.notice).to_be_hidden()
        page.keyboard.press("Escape")
        other.keyboard.press("Escape")
        xaver.publish("user/wanda", "unread in both")
        for tab in (first, second):
            expect(tab.conversation("xaver").locator(".unread")).to_have_text("1 unread")
        first.open("xaver")
        first.sees("unread in both")
        for tab in (first, second):  # what one reads in one tab is read in the other
            expect(tab.conversation("xaver").locator(".unread")).to_have_count(0)
        second.open("xaver")
        page.close()  # the tab that had the connection
        xaver.publish("user/wanda", "and now?")
        second.sees("hello, both", "unread in both", "and now?")
        second.send("still here")
        second.sees_stored("still here")


def test_logging_out_leaves_nothing_behind(broker: WebBroker, profiles: Profiles) -> None:
    broker.create_users("yara")
    page = profiles.page()
    yara = Person(page).log_in("yara")
    yara.write_to("yara")
    yara.send("note to self")
    yara.sees_stored("note to self")
    page.get_by_role("button", name="Log out", exact=True).click()
    expect(page.get_by_role("button", name="Log in", exact=True)).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Log in", exact=True)).to_be_visible()
    kept = page.evaluate("Object.entries(localStorage).flat().join(' ')")
    assert "user/yara" not in kept


def test_a_log_in_without_a_network_is_told_so(broker: WebBroker, profiles: Profiles) -> None:
    profiles.network_may_fail = True
    broker.create_users("yuri")
    page = profiles.page()
    page.route_web_socket(re.compile("/ws$"), lambda route: route.close(code=1013))
    Person(page).fill_log_in("yuri")
    expect(page.locator("#login-problem")).to_have_text(
        "The server cannot be reached. Check your network, and try again."
    )


def test_a_wrong_password_and_an_unknown_terminal_type_are_told(broker: WebBroker, profiles: Profiles) -> None:
    broker.create_users("zack")
    page = profiles.page()
    zack = Person(page)
    problem = page.locator("#login-problem")
    zack.fill_log_in("zack", password="wrong")
    expect(problem).to_have_text("The user or the password is wrong.")
    expect(page.locator("#login-password")).to_be_focused()
    zack.fill_log_in("", password="x")
    expect(problem).to_contain_text("Who are you?")
    page.get_by_label("Other", exact=True).check()
    page.get_by_label("Terminal type").fill("fridge")
    page.locator("#login-user").fill("zack")
    page.locator("#login-password").fill("correct horse")
    page.get_by_role("button", name="Log in", exact=True).click()
    expect(problem).to_have_text("This server knows no “fridge”.")
    page.get_by_label("Terminal type").fill("tv")
    page.get_by_role("button", name="Log in", exact=True).click()
    expect(page.locator("#me-state")).to_have_text("TV · online")


@pytest.mark.parametrize("alone", [KEEPS_TWENTY], indirect=True)
def test_what_retention_took_is_shown_as_a_gap(alone: tuple[WebBroker, Profiles]) -> None:
    broker, profiles = alone
    broker.create_users("alice", "bob")
    context = profiles.profile()
    page = context.new_page()
    page.goto("/")
    alice = Person(page).log_in("alice")
    with TcpDevice(broker.address, "bob", "bot") as bob:
        bob.publish("user/alice", "the last one here")
        expect(alice.conversation("bob")).to_contain_text("the last one here")
        page.close()
        bob.publish_many("user/alice", [f"while away {n}" for n in range(1, 51)])
        assert broker.ask("retention", "run").exit_code == 0
        page = context.new_page()
        page.goto("/#user%2Fbob")
        alice = Person(page)
        alice.sees("the last one here", "while away 31", "while away 50")
        gap = alice.log.get_by_text("30 messages of your conversations never came to this device")
        expect(gap).to_be_visible()
        expect(gap).to_contain_text("the server keeps only so many messages")


def test_what_an_erased_user_wrote_is_blank_at_once(broker: WebBroker, profiles: Profiles) -> None:
    broker.create_users("abel", "mallory")
    with TcpDevice(broker.address, "mallory", "bot") as mallory:
        mallory.publish("user/abel", "you never saw this")
        mallory.publish("user/abel", "nor this")
        abel = Person(profiles.page()).log_in("abel")
        abel.open("mallory")
        abel.sees("you never saw this", "nor this")
    assert broker.ask("erase", "mallory", "--yes").exit_code == 0
    expect(abel.log.get_by_text("Message erased")).to_have_count(2)
    expect(abel.log.get_by_text("2 messages of mallory were erased")).to_be_visible()
    expect(abel.message("nor this")).to_have_count(0)
    abel.page.reload()
    expect(abel.log.get_by_text("2 messages of mallory were erased")).to_be_visible()
    assert "saw" not in abel.page.locator("body").inner_text()


def test_an_inbox_that_went_back_to_a_backup_is_told(alone: tuple[WebBroker, Profiles], tmp_path: Path) -> None:
    broker, profiles = alone
    broker.create_users("alice", "bob")
    page = profiles.page()
    alice = Person(page).log_in("alice")
    alice.write_to("bob")
    alice.send("in the backup")
    alice.sees_stored("in the backup")
    broker.stop()
    shutil.copytree(broker.data, tmp_path / "backup")
    with broker.come_back() as again:
        page.locator("#offline-now").dispatch_event("click")  # it may have come back by itself already
        alice.send("after the backup")
        alice.sees_stored("after the backup")
        again.stop()
    shutil.rmtree(broker.data)
    shutil.copytree(tmp_path / "backup", broker.data)
    with broker.come_back():
        page.locator("#offline-now").dispatch_event("click")  # it may have come back by itself already
        expect(page.locator("#started-over")).to_contain_text("was replaced")
        alice.sees("in the backup")
        expect(alice.message("after the backup")).to_have_count(0)
        page.get_by_role("button", name="Understood").click()
        expect(page.locator("#started-over")).to_be_hidden()
        alice.send("going on")
        alice.sees_stored("going on")
