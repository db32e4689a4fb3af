"""How the console looks and whether everybody can use it: pictures of its views, and axe-core's verdict on each.

axe-core is by Deque Systems (Mozilla Public License 2.0); `axe-playwright-python` brings it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from web.browser import PHONE, Profiles, WebBroker
from web.console_page import CONSOLE, Console, new_admin
from web.fleet import Fleet, FleetDevice

pytestmark = [pytest.mark.process, pytest.mark.browser]

GRAVE = ("serious", "critical")

WIDE = {"viewport": {"width": 1400, "height": 900}}
DARK = {**WIDE, "color_scheme": "dark"}
NARROW = {"viewport": PHONE, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}

PEOPLE = ("alice", "bob", "Carla", "Dimitri", "Zoë", "Łukasz")


class Town:
    """A broker with people who talk, and one who cannot keep up."""

    def __init__(self, broker: WebBroker, fleet: Fleet) -> None:
        self.broker = broker
        self.token = new_admin(broker, "mona", "admin")
        new_admin(broker, "night watch", "read")
        broker.create_users(*PEOPLE, "roost-check")
        broker.ask("groups", "create", "Chess club", "--owner", "bob", "alice", "Carla", "Dimitri")
        broker.ask("groups", "create", "Front office", "--owner", "Zoë", "Łukasz")
        fleet.log_in("alice", "pc", device="alice-desk", client="Acme Desk/3.1").close()
        self.devices: list[FleetDevice] = [
            fleet.log_in(name, terminal, device=f"{terminal}-{number:04x}", client=client)
            for number, (name, terminal, client) in enumerate(
                (
                    ("alice", "phone", "Acme Android/7.2"),
                    ("bob", "phone", "Acme iOS/7.2"),
                    ("bob", "pc", "Acme Desk/3.1"),
                    ("Carla", "web", "roost-js/0.1"),
                    ("Łukasz", "phone", "Acme Android/7.0"),
                ),
                0x2A10,
            )
        ]
        fleet.log_in("Zoë", "tv", device="tv-0007", client="Acme TV/1.0", silent=True, receive_max=8)
        broker.ask("users", "disable", "Dimitri")
        for n in range(30):
            self.talk(n)
        self.last = self.devices[0].publish("group/Chess club", "I think so. The train is late again, though.")
        broker.ask("sessions", "kick", "Carla", "--reason", "lost laptop")

    def talk(self, n: int) -> None:
        """A few messages, from one to the other."""
        self.devices[0].publish("user/bob", f"Are you coming? {n}")
        self.devices[1].publish("user/alice", f"In {n} minutes")
        self.devices[4].publish("group/Front office", f"The {n}th parcel is here")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebBroker]:
    """A broker with the admin API on its web listener."""
    with WebBroker(tmp_path_factory.mktemp("broker"), config=CONSOLE) as running:
        yield running


@pytest.fixture(scope="module")
def town(broker: WebBroker) -> Iterator[Town]:
    """The people on it."""
    with Fleet(broker.address) as fleet:
        yield Town(broker, fleet)


def grave_faults(page: Page) -> list[str]:
    """What axe-core finds that keeps somebody out, each with where it is."""
    found: dict[str, Any] = Axe().run(page).response
    return [
        f"{fault['impact']}: {fault['help']} ({', '.join(str(node['target']) for node in fault['nodes'][:5])})"
        for fault in found["violations"]
        if fault["impact"] in GRAVE
    ]


def look(page: Page, path: Path) -> None:
    """Take the picture, and see that nothing keeps somebody out and nothing sticks out."""
    page.screenshot(path=path, animations="disabled", caret="hide")
    assert grave_faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


Act = Callable[[Console], None]


def _nothing(_: Console) -> None:
    """The view as it is."""


def _plan(console: Console) -> None:
    console.page.get_by_role("button", name="Make a plan").click()
    expect(console.row("Devices that would lose something", "alice-desk")).to_be_visible()


def _check(console: Console) -> None:
    console.page.get_by_role("button", name="Check the store").click()
    expect(console.page.get_by_text("All that was promised holds.").first).to_be_visible()


def _kick(console: Console) -> None:
    console.page.get_by_role("button", name="Kick Łukasz, phone").click()
    console.dialog.get_by_label("Reason").fill("The phone was reported stolen")


def _erase(console: Console) -> None:
    console.page.get_by_role("button", name="Erase").click()
    console.dialog.get_by_label("enter the name again").fill("bob")
    console.page.keyboard.press("Enter")
    expect(console.dialog.get_by_role("alert")).to_contain_text("That is not the name.")


def _menu(console: Console) -> None:
    console.page.get_by_role("button", name="Menu").click()


VIEWS: tuple[tuple[str, dict[str, Any], str, Act], ...] = (
    ("sessions", WIDE, "sessions", _nothing),
    ("sessions-phone", NARROW, "sessions", _nothing),
    ("kick", DARK, "sessions", _kick),
    ("users", WIDE, "users", _nothing),
    ("user", WIDE, "users/alice", _nothing),
    ("user-dark", DARK, "users/alice", _nothing),
    ("user-phone", NARROW, "users/alice", _nothing),
    ("erase", WIDE, "users/alice", _erase),
    ("tokens", WIDE, "users/alice/tokens", _nothing),
    ("relations", WIDE, "users/alice/relations", _nothing),
    ("kicks", WIDE, "users/Carla/history?kicks=1", _nothing),
    ("inbox", WIDE, "users/alice/inbox", _nothing),
    ("explain", WIDE, "explain/message/LAST", _nothing),
    ("explain-phone", NARROW, "explain/message/LAST", _nothing),
    ("groups", WIDE, "groups", _nothing),
    ("group", DARK, "groups/Chess%20club", _nothing),
    ("retention", WIDE, "retention", _plan),
    ("journal", DARK, "journal", _nothing),
    ("fsck", WIDE, "fsck", _check),
    ("send", WIDE, "send?from=alice&to=user/bob", _nothing),
    ("admins", DARK, "admins", _nothing),
    ("menu-phone", NARROW, "users", _menu),
)


@pytest.mark.parametrize(("name", "options", "place", "act"), VIEWS, ids=[view[0] for view in VIEWS])
def test_a_view(
    name: str, options: dict[str, Any], place: str, act: Act, town: Town, profiles: Profiles, pictures: Path
) -> None:
    console = Console(profiles, town.token, place.replace("LAST", town.last.id), **options)
    expect(console.page.get_by_text("Connecting …")).to_have_count(0)
    act(console)
    look(console.page, pictures / f"console-{name}.png")


@pytest.mark.parametrize(("name", "options"), [("overview", WIDE), ("overview-dark", DARK), ("overview-phone", NARROW)])
def test_the_overview(name: str, options: dict[str, Any], town: Town, profiles: Profiles, pictures: Path) -> None:
    """For the docs it goes on for a while, so that the charts have something to show."""
    console = Console(profiles, town.token, **options)
    town.talk(99)
    expect(console.row("Devices that are behind", "Zoë")).to_be_visible()
    if pictures.name == "pictures":
        _go_on_for_a_while(console.page, town)
    look(console.page, pictures / f"console-{name}.png")


def _go_on_for_a_while(page: Page, town: Town) -> None:
    """Half a minute of talk, now more, now less: for the picture's charts."""
    chance = Random(7)  # noqa: S311 - a picture, no secret
    for _ in range(15):
        for n in range(chance.choice((1, 2, 4, 8, 12))):
            town.talk(n)
        page.wait_for_timeout(2_000)


@pytest.mark.parametrize(("name", "options"), [("sign-in", WIDE), ("sign-in-phone", NARROW)])
def test_the_way_in(name: str, options: dict[str, Any], town: Town, profiles: Profiles, pictures: Path) -> None:
    profiles.network_may_fail = True
    page = profiles.page("/console", **options)
    page.get_by_label("Token").fill("nonsense")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert").filter(has_text="does not know you")).to_be_visible()
    look(page, pictures / f"console-{name}.png")
