"""The console in a real browser, against a real broker with real devices."""

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from roost_protocol.reasons import Reason
from web.browser import Profiles, WebBroker
from web.console_page import CONSOLE, Console, new_admin, part
from web.fleet import Fleet

pytestmark = [pytest.mark.process, pytest.mark.browser]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebBroker]:
    """A broker with the admin API on its web listener."""
    with WebBroker(tmp_path_factory.mktemp("broker"), config=CONSOLE) as running:
        yield running


@pytest.fixture(scope="module")
def token(broker: WebBroker) -> str:
    """Of an admin who may everything."""
    return new_admin(broker, "root", "admin")


@pytest.fixture
def fleet(broker: WebBroker) -> Iterator[Fleet]:
    """Devices for one test."""
    with Fleet(broker.address) as devices:
        yield devices


# --- who may come in ---


def test_one_signs_in_with_a_token_that_is_kept_in_the_tab_alone(
    broker: WebBroker, token: str, profiles: Profiles
) -> None:
    console = Console(profiles, token)
    page = console.page
    expect(page.locator("#who")).to_contain_text("root")
    expect(page.locator("#who")).to_contain_text("admin")
    page.reload()
    expect(page.get_by_role("heading", level=1, name="Overview")).to_be_visible()
    assert token not in page.url
    assert page.evaluate("JSON.stringify(localStorage) + document.cookie") == "{}"
    other = page.context.new_page()
    other.goto("/console")
    expect(other.get_by_label("Token")).to_be_focused()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0


def test_a_wrong_token_is_told_so(profiles: Profiles) -> None:
    profiles.network_may_fail = True
    page = profiles.page("/console#/users")
    page.get_by_label("Token").fill("nonsense")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="The broker does not know you")).to_be_visible()
    expect(page.get_by_role("navigation", name="Console")).to_be_hidden()
    assert page.evaluate("sessionStorage.length") == 0


def test_a_token_that_is_revoked_ends_the_stay(broker: WebBroker, profiles: Profiles) -> None:
    console = Console(profiles, new_admin(broker, "brief", "operate"), "sessions")
    expect(console.page.get_by_text("Live", exact=True)).to_be_visible()
    assert broker.ask("admins", "revoke", "brief").exit_code == 0
    expect(console.page.get_by_text("it was revoked")).to_be_visible()
    expect(console.page.get_by_label("Token")).to_be_visible()


def test_over_the_loopback_one_needs_no_token(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> None:
    config = 'web_admin_loopback = "read"\n' + CONSOLE
    with WebBroker(tmp_path_factory.mktemp("loopback"), config=config) as running:
        profiles = Profiles(chromium, running.web)
        page = profiles.page("/console#/admins")
        expect(page.get_by_role("heading", level=1, name="Admins")).to_be_visible()
        expect(page.locator("#who")).to_contain_text("read")
        profiles.close()


def test_a_broker_without_the_admin_api_says_so(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> None:
    with WebBroker(tmp_path_factory.mktemp("closed")) as running:
        profiles = Profiles(chromium, running.web)
        profiles.network_may_fail = True
        page = profiles.page("/console")
        page.get_by_label("Token").fill("any")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert").filter(has_text="Set web_admin = true")).to_be_visible()
        profiles.close()


def test_who_may_only_read_is_told_why_he_may_not_kick(broker: WebBroker, fleet: Fleet, profiles: Profiles) -> None:
    broker.create_users("rita")
    fleet.log_in("rita", "pc")
    console = Console(profiles, new_admin(broker, "reader", "read"), "sessions?user=rita")
    kick = console.page.get_by_role("button", name="Kick rita, pc")
    expect(kick).to_be_disabled()
    expect(kick).to_have_accessible_description("This needs the role operate; yours is read.")
    kick.dispatch_event("click")
    expect(console.page.locator(".toast")).to_have_text("This needs the role operate; yours is read.")
    expect(console.dialog).to_have_count(0)
    console.go("send")
    expect(console.page.get_by_text("This needs the role admin; yours is read.").first).to_be_visible()
    console.go("users/rita")
    for name in ("Disable", "New password", "Export", "Remove", "Erase"):
        expect(console.page.get_by_role("button", name=name, exact=False).first).to_be_disabled()


# --- sessions ---


def test_sessions_come_and_go_by_themselves(broker: WebBroker, token: str, fleet: Fleet, profiles: Profiles) -> None:
    broker.create_users("sam", "sue")
    sam = fleet.log_in("sam", "phone", device="sams-phone")
    console = Console(profiles, token, "sessions")
    expect(console.row("Live sessions", "sams-phone")).to_be_visible()
    fleet.log_in("sue", "web", device="sues-web")
    expect(console.row("Live sessions", "sues-web")).to_be_visible()
    expect(console.page.locator("#live")).to_contain_text("sue, web: session opened")
    sam.close()
    expect(console.row("Live sessions", "sams-phone")).to_have_count(0)
    console.page.get_by_label("User", exact=True).fill("sam")
    console.page.get_by_role("button", name="Filter").click()
    expect(console.page).to_have_url(re.compile(r"#/sessions\?user=sam$"))
    expect(console.page.get_by_text("No live session fits that.")).to_be_visible()


def test_a_kicked_device_is_told_by_whom_and_why(
    broker: WebBroker, token: str, fleet: Fleet, profiles: Profiles
) -> None:
    broker.create_users("kim")
    pc = fleet.log_in("kim", "pc", device="kims-pc")
    fleet.log_in("kim", "phone")
    console = Console(profiles, token, "sessions?user=kim")
    console.page.get_by_role("button", name="Kick kim, pc").click()
    console.dialog.get_by_label("Reason").fill("lost laptop")
    console.page.keyboard.press("Enter")
    ended = pc.wait_ended()
    assert (ended.reason, ended.text) == (Reason.ADMINISTRATIVE_ACTION, "lost laptop")
    assert ended.origin is not None
    assert ended.origin.by == "root"
    expect(console.row("Live sessions", "kims-pc")).to_have_count(0)
    expect(console.row("Live sessions", "phone")).to_have_count(1)
    console.go("users/kim/history?kicks=1")
    ended_row = console.row("How sessions of kim", "session ended")
    expect(ended_row).to_contain_text("kims-pc")
    expect(ended_row).to_contain_text("administrative action by root")


def test_the_overview_is_live(broker: WebBroker, token: str, fleet: Fleet, profiles: Profiles) -> None:
    broker.create_users("olga", "otto", "ole")
    olga = fleet.log_in("olga", "phone")
    fleet.log_in("otto", "web", device="ottos-web", silent=True, receive_max=2)
    console = Console(profiles, token)
    for n in range(6):
        olga.publish("user/otto", f"{n}")
    expect(console.row("Devices that are behind", "ottos-web")).to_contain_text("its window is full")
    expect(console.row("Users by what they publish", "olga")).to_be_visible()
    chart = console.page.get_by_role("img", name=re.compile("^From send to delivery: p99 .+, median .+"))
    expect(chart).to_be_visible()
    expect(console.page.get_by_text("for log-ins and messages")).to_be_visible()


# --- a user ---


def test_a_user_is_added_found_disabled_and_removed(broker: WebBroker, token: str, profiles: Profiles) -> None:
    broker.create_users("una", "uli")
    console = Console(profiles, token, "users")
    page = console.page
    page.get_by_role("button", name="Add a user").click()
    console.dialog.get_by_label("Name").fill("uri/x")
    console.dialog.get_by_label("Password").fill("long enough")
    page.keyboard.press("Enter")
    expect(console.dialog.get_by_role("alert")).to_contain_text("A name has no '/'")
    console.dialog.get_by_label("Name").fill("Ursula K.")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name="Ursula K.")).to_be_visible()
    page.get_by_role("button", name="Disable").click()
    console.dialog.get_by_role("button", name="Disable").click()
    expect(page.get_by_role("button", name="Enable")).to_be_visible()
    console.go("users")
    page.get_by_label("Name begins with").fill("U")
    page.keyboard.press("Enter")
    expect(console.table("Users by name").locator("tbody tr")).to_have_count(1)
    expect(console.row("Users by name", "Ursula K.")).to_contain_text("disabled")
    page.get_by_role("link", name="Ursula K.").click()
    page.get_by_role("button", name="Remove").click()
    console.dialog.get_by_label("enter the name again").fill("Ursula")
    page.keyboard.press("Enter")
    expect(console.dialog.get_by_role("alert")).to_contain_text("That is not the name.")
    assert "Ursula K." in broker.ask("users", "list", "--json").stdout
    console.dialog.get_by_label("enter the name again").fill("Ursula K.")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name="Users")).to_be_visible()
    assert "Ursula K." not in broker.ask("users", "list", "--json").stdout


def test_devices_stand_with_what_they_lack_and_would_lose(
    broker: WebBroker, token: str, fleet: Fleet, profiles: Profiles
) -> None:
    broker.create_users("dan", "dee")
    fleet.log_in("dan", "pc", device="dans-pc").close()
    phone = fleet.log_in("dan", "phone", device="dans-phone")
    for n in range(30):
        phone.publish("user/dee", f"{n}")
    console = Console(profiles, token, "users/dan")
    expect(console.cell("Devices of dan", "dans-pc", "Lag")).to_have_text("30")
    expect(console.cell("Devices of dan", "dans-pc", "State")).to_have_text("offline")
    expect(console.cell("Devices of dan", "dans-pc", "Would lose")).to_have_text("10 from 1 on, by count")
    expect(console.cell("Devices of dan", "dans-phone", "State")).to_have_text("online")
    expect(console.cell("Devices of dan", "dans-phone", "Would lose")).to_have_text("nothing")
    phone.publish("user/dee", "one more")
    expect(console.cell("Devices of dan", "dans-pc", "Lag")).to_have_text("31")


def test_a_body_is_shown_on_demand_which_is_audited(
    broker: WebBroker, token: str, fleet: Fleet, profiles: Profiles
) -> None:
    broker.create_users("ina", "ivo")
    fleet.log_in("ina", "phone").publish("user/ivo", "for your eyes only")
    console = Console(profiles, token, "users/ivo/inbox")
    expect(console.row("Inbox of ivo", "ina")).to_contain_text("not shown")
    expect(console.page.get_by_text("for your eyes only")).to_have_count(0)
    assert "/inbox/bodies" not in (broker.data / "audit.log").read_text()
    console.page.get_by_role("button", name="Show the body of entry 1").click()
    expect(console.cell("Inbox of ivo", "ina", "Body")).to_have_text("for your eyes only")
    lines = [json.loads(line) for line in (broker.data / "audit.log").read_text().splitlines()]
    shown = [line for line in lines if line["route"].endswith("/inbox/bodies")]
    assert [(line["who"], line["names"]) for line in shown] == [("root", ["ivo"])]


def test_an_inbox_goes_on_as_entries_come(broker: WebBroker, token: str, fleet: Fleet, profiles: Profiles) -> None:
    broker.create_users("lea", "leo")
    lea = fleet.log_in("lea", "phone")
    console = Console(profiles, token, "users/leo/inbox")
    expect(console.page.get_by_text("There are no entries.")).to_be_visible()
    lea.publish("user/leo", "hello")
    expect(console.row("Inbox of leo", "user/leo")).to_be_visible()


def test_an_export_is_saved_as_a_file(broker: WebBroker, token: str, fleet: Fleet, profiles: Profiles) -> None:
    broker.create_users("eva", "eli")
    fleet.log_in("eva", "phone").publish("user/eli", "kept")
    console = Console(profiles, token, "users/eva")
    with console.page.expect_download() as saving:
        console.page.get_by_role("button", name="Export").click()
    records = [json.loads(line) for line in saving.value.path().read_text().splitlines()]
    assert saving.value.suggested_filename == "eva.jsonl"
    assert (records[0]["kind"], records[-1]["kind"], records[-1]["end"]) == ("account", "end", 1)


# --- messages ---


def test_the_way_of_a_message_is_explained(broker: WebBroker, token: str, fleet: Fleet, profiles: Profiles) -> None:
    broker.create_users("max", "mia")
    fleet.log_in("mia", "pc", device="mias-pc").close()
    fleet.log_in("mia", "phone", device="mias-phone")
    fleet.log_in("max", "phone", device="maxs-phone").publish("user/mia", "where are you?")
    console = Console(profiles, token, "users/mia/inbox")
    console.page.get_by_role("link", name="Explain entry 1").click()
    expect(console.page).to_have_url(re.compile("#/explain/entry/mia/1$"))
    ways = console.page.locator(".way")
    expect(ways.filter(has_text="mias-pc")).to_contain_text("offline")
    expect(ways.filter(has_text="mias-pc")).to_contain_text("it gets the entry when it logs in")
    expect(ways.filter(has_text="mias-phone")).to_contain_text("logged in from 127.0.0.1")
    message = console.page.locator("h2", has_text="Message ").locator(".mono").inner_text()
    console.go(f"explain/message/{message}")
    expect(console.page.get_by_text("maxs-phone, as number 1 of its publishes")).to_be_visible()
    expect(ways).to_have_count(3)


def test_a_message_is_sent_in_the_name_of_a_user(
    broker: WebBroker, token: str, fleet: Fleet, profiles: Profiles
) -> None:
    broker.create_users("tom", "tia")
    console = Console(profiles, token, "send?from=tom&to=user/tiaa")
    page = console.page
    page.get_by_label("Text").fill("hello from the office")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert").filter(has_text="There is no user 'tiaa'; did you mean tia?")).to_be_visible()
    page.get_by_label("Name").fill("tia")
    page.get_by_role("button", name="Send").click()
    page.get_by_role("link", name="What became of it").click()
    expect(page.get_by_text("an admin, in the name of the sender")).to_be_visible()


# --- groups, retention, journal, check, admins ---


def test_groups_are_created_changed_and_deleted(broker: WebBroker, token: str, profiles: Profiles) -> None:
    broker.create_users("gus", "gil", "gia")
    console = Console(profiles, token, "groups")
    page = console.page
    page.get_by_role("button", name="Create a group").click()
    console.dialog.get_by_label("Name").fill("choir ♪")
    console.dialog.get_by_label("Owner").fill("gus")
    console.dialog.get_by_label("Members").fill("gil")
    console.dialog.get_by_role("button", name="Create").click()
    expect(console.row("Members of choir", "gus")).to_contain_text("owner")
    page.get_by_label("Users to add").fill("gia, nobody")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="there is no user")).to_be_visible()
    page.get_by_label("Users to add").fill("gia")
    page.keyboard.press("Enter")
    expect(console.row("Members of choir", "gia")).to_be_visible()
    console.go("users/gia/groups")
    page.get_by_role("link", name="choir ♪").click()
    page.get_by_role("button", name="Delete").click()
    console.dialog.get_by_label("enter the name again").fill("choir ♪")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name="Groups")).to_be_visible()
    assert "choir" not in broker.ask("groups", "list", "--json").stdout


def test_a_plan_comes_before_the_walk(broker: WebBroker, token: str, fleet: Fleet, profiles: Profiles) -> None:
    broker.create_users("pat", "pia")
    fleet.log_in("pia", "pc", device="pias-pc").close()
    pat = fleet.log_in("pat", "phone")
    for n in range(25):
        pat.publish("user/pia", f"{n}")
    console = Console(profiles, token, "retention")
    run = console.page.get_by_role("button", name="Run the walk now")
    expect(run).to_be_disabled()
    run.dispatch_event("click")
    expect(console.dialog).to_have_count(0)
    console.page.get_by_role("button", name="Make a plan").click()
    expect(console.cell("Inboxes that would be trimmed", "pia", "To")).to_have_text("5")
    expect(console.cell("Devices that would lose something", "pias-pc", "Entries")).to_have_text("5")
    run.click()
    console.dialog.get_by_role("button", name="Trim").click()
    expect(console.page.locator(".toast").filter(has_text="were trimmed")).to_be_visible()
    assert json.loads(broker.ask("users", "show", "pia", "--json").stdout)["floor"] == 6


def test_the_journal_is_filtered_and_goes_on(broker: WebBroker, token: str, fleet: Fleet, profiles: Profiles) -> None:
    broker.create_users("jan", "joy")
    console = Console(profiles, token, "journal?user=jan")
    expect(console.row("Records of the journal", "account jan: created")).to_be_visible()
    fleet.log_in("joy", "pc")
    fleet.log_in("jan", "pc", device="jans-pc")
    expect(console.row("Records of the journal", "session opened")).to_contain_text("jans-pc")
    expect(console.row("Records of the journal", "joy")).to_have_count(0)


def test_the_store_is_checked(token: str, profiles: Profiles) -> None:
    console = Console(profiles, token, "fsck")
    console.page.get_by_role("button", name="Check the store").click()
    expect(console.page.get_by_text("All that was promised holds.").first).to_be_visible()


def test_the_token_of_a_new_admin_is_shown_once(broker: WebBroker, token: str, profiles: Profiles) -> None:
    console = Console(profiles, token, "admins")
    console.page.get_by_role("button", name="Add an admin").click()
    console.dialog.get_by_label("Name").fill("zoe")
    console.dialog.get_by_label("Role").select_option("operate")
    console.dialog.get_by_role("button", name="Add").click()
    shown = console.dialog.locator("code").inner_text()
    console.dialog.get_by_role("button", name="I have it").click()
    expect(console.page.get_by_text(shown)).to_have_count(0)
    Console(profiles, shown)
    console.page.get_by_role("button", name="Revoke zoe").click()
    console.dialog.get_by_label("enter the name again").fill("zoe")
    console.page.keyboard.press("Enter")
    expect(console.row("Admins by name", "zoe")).to_have_count(0)


# --- whatever happens ---

HOSTILE = "<img src=x onerror=alert(1)>"
HOSTILE_TEXT = "</td></table><script>alert(1)</script><svg onload=alert(1)>{{7*7}}javascript:alert(1)"


def test_names_and_bodies_of_others_run_nothing(
    broker: WebBroker, token: str, fleet: Fleet, profiles: Profiles
) -> None:
    group = "<b onmouseover=alert(1)>g"
    admin = "<svg onload=alert(2)>"
    broker.create_users(HOSTILE, "plain")
    assert broker.ask("groups", "create", group, "--owner", HOSTILE, "plain").exit_code == 0
    broker.ask("admins", "add", admin, "--role", "read")
    sender = fleet.log_in(HOSTILE, "phone", device="javascript:alert-1", client=HOSTILE_TEXT[:60])
    fleet.log_in("plain", "pc", silent=True, receive_max=1)
    sent = sender.publish("user/plain", HOSTILE_TEXT)
    sender.publish(f"group/{group}", HOSTILE_TEXT)
    broker.ask("sessions", "kick", "plain", "--reason", HOSTILE_TEXT)
    console = Console(profiles, token)
    home = f"users/{part(HOSTILE)}"
    places = [
        "overview",
        "sessions",
        "users",
        home,
        "groups",
        f"groups/{part(group)}",
        "journal",
        "retention",
        "admins",
    ]
    places += [f"{home}/{word}" for word in ("tokens", "relations", "groups", "history", "inbox")]
    places += [f"explain/message/{sent.id}", f"explain/entry/{part(HOSTILE)}/1", "users/plain/history?kicks=1"]
    places += [f"users/{part('<img src=x onerror=alert(9)>nobody')}", f"{part(HOSTILE)}", "%E0%A4%A"]
    for place in places:
        console.go(place)
        console.page.wait_for_load_state("networkidle") if "explain" in place else None
        assert console.page.locator("main script, main img, main [onerror], main b[onmouseover]").count() == 0, place
    console.go("users/plain/inbox")
    console.page.get_by_role("button", name="Show the body of entry 1").click()
    expect(console.cell("Inbox of plain", "user/plain", "Body")).to_have_text(HOSTILE_TEXT)
    console.go(home)
    expect(console.page.get_by_role("heading", level=1, name=HOSTILE)).to_be_visible()
    expect(console.row("Devices of", "javascript:alert-1")).to_contain_text(HOSTILE_TEXT[:60])
    reports = console.page.evaluate("fetch('/metrics', {headers: {authorization: `Bearer ${sessionStorage.getItem("
        "'roost.console.token')}`}}).then((answer) => answer.text())")  # fmt: skip
    counted = re.findall(r"^roost_csp_reports_total\{[^}]*\} (\S+)$", reports, re.MULTILINE)
    assert counted
    assert {float(value) for value in counted} == {0.0}


def test_streams_end_when_their_view_is_left(broker: WebBroker, token: str, profiles: Profiles) -> None:
    console = Console(profiles, token)
    with console.page.expect_event("requestfailed", lambda request: "/v1/top" in request.url):
        console.go("admins")
    with console.page.expect_request(lambda request: "/v1/top" in request.url):
        console.go("overview")


def test_streams_rest_while_the_tab_is_hidden(broker: WebBroker, token: str, profiles: Profiles) -> None:
    console = Console(profiles, token)
    hide = "hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true}); "
    hide += "document.dispatchEvent(new Event('visibilitychange')); }"
    expect(console.page.get_by_text("Live", exact=True)).to_be_visible()
    with console.page.expect_event("requestfailed", lambda request: "/v1/top" in request.url):
        console.page.evaluate(hide, True)
    expect(console.page.get_by_text("Paused")).to_be_visible()
    with console.page.expect_request(lambda request: "/v1/top" in request.url):
        console.page.evaluate(hide, False)
    expect(console.page.get_by_text("Live", exact=True)).to_be_visible()


def test_a_broker_that_comes_back_is_found_again(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> None:
    with WebBroker(tmp_path_factory.mktemp("returning"), config=CONSOLE) as running:
        profiles = Profiles(chromium, running.web)
        console = Console(profiles, new_admin(running, "root", "admin"), "journal")
        expect(console.page.get_by_text("Live", exact=True)).to_be_visible()
        running.stop()
        expect(console.page.get_by_text("Not live: trying again", exact=True)).to_be_visible()
        with running.come_back():
            expect(console.page.get_by_text("Live", exact=True)).to_be_visible()
            expect(console.row("Records of the journal", "broker started")).to_have_count(2)
            profiles.close()


def test_it_works_by_keyboard_alone(broker: WebBroker, token: str, fleet: Fleet, profiles: Profiles) -> None:
    broker.create_users("kay")
    pc = fleet.log_in("kay", "pc")
    console = Console(profiles, token, "sessions?user=kay")
    page = console.page
    page.get_by_role("link", name="Skip to the content").focus()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    kick = page.get_by_role("button", name="Kick kay, pc")
    for _ in range(60):
        page.keyboard.press("Tab")
        if kick.evaluate("button => button === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(console.dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    expect(kick).to_be_focused()
    page.keyboard.press("Enter")
    expect(console.dialog.get_by_label("Reason")).to_be_focused()
    page.keyboard.type("by keyboard")
    page.keyboard.press("Enter")
    assert pc.wait_ended().text == "by keyboard"


def test_a_table_is_sorted_by_the_column_that_is_pressed(broker: WebBroker, token: str, profiles: Profiles) -> None:
    broker.create_users("sort-2", "sort-10")
    console = Console(profiles, token, "users?begins=sort-")
    names = console.table("Users by name").locator("tbody th")
    expect(names).to_have_text(["sort-10", "sort-2"])
    head = console.table("Users by name").get_by_role("columnheader", name="User")
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    expect(names).to_have_text(["sort-2", "sort-10"])
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "descending")
    expect(names).to_have_text(["sort-10", "sort-2"])
