"""The chat page in a real browser: people who talk, on pages and over TCP."""

import re

import pytest
from playwright.sync_api import expect

from web.browser import PHONE, Profiles, WebBroker
from web.devices import TcpDevice
from web.person import Person

pytestmark = [pytest.mark.process, pytest.mark.browser]


def test_two_browsers_and_a_device_on_tcp_see_both_sides(broker: WebBroker, profiles: Profiles) -> None:
    broker.create_users("alice", "bob")
    alice = Person(profiles.page()).log_in("alice", "PC")
    bob = Person(profiles.page()).log_in("bob", "Browser")
    with TcpDevice(broker.address, "alice", "phone") as phone:
        alice.write_to("bob")
        alice.send("Are you coming?")
        alice.sees_stored("Are you coming?")
        assert phone.expect("Are you coming?").own
        bob.open("alice")
        bob.sees("Are you coming?")
        bob.send("In ten minutes")
        assert not phone.expect("In ten minutes").own
        phone.publish("user/bob", "Take the back door")
        for person in (alice, bob):
            person.sees("Are you coming?", "In ten minutes", "Take the back door")
            assert person.texts() == ["Are you coming?", "In ten minutes", "Take the back door"]
        expect(alice.message("Take the back door")).to_contain_text("from your phone")
        expect(alice.message("Are you coming?")).not_to_contain_text("from your")
        expect(bob.message("Take the back door")).not_to_contain_text("from your")


def test_presence_is_told_by_terminal_type(broker: WebBroker, profiles: Profiles) -> None:
    broker.create_users("anna", "ben")
    anna = Person(profiles.page()).log_in("anna")
    anna.write_to("ben")
    state = anna.page.locator("#peer-state")
    expect(state).to_have_text("Offline")
    with TcpDevice(broker.address, "ben", "phone"):
        expect(state).to_have_text("Online on phone")
        with TcpDevice(broker.address, "ben", "pad"):
            expect(state).to_have_text(re.compile("Online on (phone and tablet|tablet and phone)"))
            anna.page.get_by_role("button", name="About this conversation").click()
            where = anna.page.get_by_role("dialog", name="ben").get_by_role("list", name="Logged in on")
            expect(where.get_by_role("listitem")).to_have_count(2)
    expect(state).to_have_text("Offline")


def test_what_came_meanwhile_is_counted_until_it_is_read(broker: WebBroker, profiles: Profiles) -> None:
    broker.create_users("cleo", "dan")
    with TcpDevice(broker.address, "dan", "bot") as dan:
        for text in ("one", "two", "three"):
            dan.publish("user/cleo", text)
        page = profiles.page()
        cleo = Person(page).log_in("cleo")
        expect(cleo.conversation("dan")).to_contain_text("three")
        expect(cleo.conversation("dan").locator(".unread")).to_have_text("3 unread")
        expect(page).to_have_title("(3) roost")
        cleo.open("dan")
        expect(cleo.conversation("dan").locator(".unread")).to_have_count(0)
        expect(page).to_have_title("roost – dan")
        dan.publish("user/cleo", "four")
        cleo.sees("four")
        expect(page.get_by_role("log", name="New messages")).to_contain_text("dan: four")
        expect(cleo.conversation("dan").locator(".unread")).to_have_count(0)
        page.reload()
        expect(cleo.conversation("dan")).to_contain_text("four")
        expect(cleo.conversation("dan").locator(".unread")).to_have_count(0)


def test_who_is_typing(broker: WebBroker, profiles: Profiles) -> None:
    broker.create_users("carl", "dora")
    carl = Person(profiles.page()).log_in("carl")
    dora = Person(profiles.page()).log_in("dora")
    carl.write_to("dora")
    dora.write_to("carl")
    typing = carl.page.locator("#typing")
    expect(typing).to_be_empty()
    dora.page.get_by_label("Message", exact=True).press_sequentially("He")
    expect(typing).to_have_text("dora is typing…")
    dora.send("Hello")
    carl.sees("Hello")
    expect(typing).to_be_empty()


def test_a_refused_message_says_why_and_can_be_tried_again(broker: WebBroker, profiles: Profiles) -> None:
    broker.create_users("eve", "finn")
    eve = Person(profiles.page()).log_in("eve")
    eve.write_to("nobody at all")
    eve.send("Hello?")
    refused = eve.message("Hello?")
    expect(refused).to_contain_text("There is no user “nobody at all”.")
    expect(refused.get_by_role("img", name="Refused")).to_be_visible()
    broker.create_users("nobody at all")
    refused.get_by_role("button", name="Try again").click()
    eve.sees_stored("Hello?")
    with TcpDevice(broker.address, "finn", "pc") as finn:
        finn.block("eve")
    eve.write_to("finn")
    eve.send("Are you there?")
    expect(eve.message("Are you there?")).to_contain_text("finn takes no messages from you.")
    eve.message("Are you there?").get_by_role("button", name="Discard").click()
    expect(eve.message("Are you there?")).to_have_count(0)


def test_ten_thousand_messages_scroll(broker: WebBroker, profiles: Profiles) -> None:
    broker.create_users("greta", "hugo")
    count = 10_000
    with TcpDevice(broker.address, "hugo", "bot") as hugo:
        hugo.publish_many("user/greta", [f"no. {n}" for n in range(1, count + 1)])
    greta = Person(profiles.page()).log_in("greta")
    expect(greta.conversation("hugo")).to_contain_text(f"no. {count}")
    greta.open("hugo")
    greta.sees(f"no. {count}")
    drawn = greta.log.get_by_role("article")
    page = greta.page
    for _ in range(count):
        greta.log.evaluate("log => { log.scrollTop = 0 }")
        page.wait_for_function("() => document.getElementById('log').getAttribute('aria-busy') === 'false'")
        assert drawn.count() < 150
        if greta.message("no. 1").count():
            break
    greta.sees("no. 1", "no. 2")
    expect(drawn.first).to_have_attribute("aria-posinset", "1")
    expect(drawn.first).to_have_attribute("aria-setsize", str(count))
    middle = greta.log.evaluate("log => { log.scrollTop = log.scrollHeight / 2; return log.scrollHeight }")
    assert middle > count * 20
    expect(greta.message(f"no. {count // 2}")).to_have_count(1)
    assert drawn.count() < 150
    page.get_by_role("button", name="Newest messages").click()
    greta.sees(f"no. {count}")
    expect(page.get_by_role("button", name="Newest messages")).to_be_hidden()


def test_what_is_read_stays_in_its_place_when_older_and_newer_messages_come(
    broker: WebBroker, profiles: Profiles
) -> None:
    broker.create_users("ines", "jan")
    with TcpDevice(broker.address, "jan", "bot") as jan:
        jan.publish_many("user/ines", [f"line {n} " + "word " * (n * 7 % 60) for n in range(1, 601)])
        ines = Person(profiles.page()).log_in("ines")
        ines.open("jan")
        place = "log => log.scrollTop = log.scrollHeight / 2"
        ines.log.evaluate(place)
        top = """log => {
            const edge = log.getBoundingClientRect().top;
            const row = [...log.querySelectorAll("article")].find((each) => each.getBoundingClientRect().bottom > edge);
            return [row.dataset.key, Math.round(row.getBoundingClientRect().top - edge)];
        }"""
        expect(ines.page.get_by_role("button", name="Newest messages")).to_be_visible()
        ines.page.wait_for_function("() => document.getElementById('log').getAttribute('aria-busy') === 'false'")
        before = ines.log.evaluate(top)
        jan.publish("user/ines", "and one more")
        expect(ines.page.get_by_role("button", name="1 new message")).to_be_visible()
        assert ines.log.evaluate(top) == before


def test_what_others_name_and_write_runs_nothing(broker: WebBroker, profiles: Profiles) -> None:
    evil = "<img src=x onerror=alert(1)>"
    group = "<svg onload=alert(2)>"
    bodies = (
        "<script>alert(3)</script>",
        "<img src=x onerror=\"document.body.dataset.ran='1'\">",
        "javascript:alert(4)",
        "</p></article><iframe srcdoc='<script>alert(5)</script>'></iframe>",
        "&lt;b&gt; <b>bold</b> \u202egnp.exe",
    )
    broker.create_users("kim", evil)
    with TcpDevice(broker.address, evil, "phone") as mallory:
        mallory.create_group(group, "kim")
        for body in bodies:
            mallory.publish("user/kim", body)
        mallory.publish("user/kim", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(6)'/>", "image/svg+xml")
        mallory.publish("user/kim", b"<script>alert(7)</script>", "text/html")
        mallory.publish(f"group/{group}", bodies[0])
        kim = Person(profiles.page()).log_in("kim")
        scripts = kim.page.evaluate("document.scripts.length")
        kim.open(evil)
        kim.sees(*bodies[:4])
        kim.page.get_by_role("button", name="About this conversation").click()
        kim.page.get_by_role("button", name="Add to contacts").click()
        expect(kim.page.get_by_role("button", name="Remove from contacts")).to_be_visible()
        kim.page.keyboard.press("Escape")
        kim.page.get_by_role("button", name="Contacts and blocked people").click()
        expect(kim.page.get_by_role("list", name="Contacts")).to_contain_text(evil)
        kim.page.keyboard.press("Escape")
        kim.open(group)
        kim.sees(bodies[0])
        kim.page.get_by_role("button", name="About this conversation").click()
        expect(kim.page.get_by_role("list", name="Members")).to_contain_text(evil)
        assert kim.page.evaluate("document.scripts.length") == scripts
        assert kim.page.locator("img, iframe, object, embed").count() == 0
        assert kim.page.locator("body").get_attribute("data-ran") is None


def test_a_picture_is_shown_and_a_file_offered(broker: WebBroker, profiles: Profiles) -> None:
    dot = bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0"
        "000003010100c9fe92ef0000000049454e44ae426082"
    )
    broker.create_users("lena", "max")
    with TcpDevice(broker.address, "max", "phone") as sender:
        sender.publish("user/lena", dot, "image/png")
        sender.publish("user/lena", b"%PDF-1.7", "application/pdf")
        lena = Person(profiles.page()).log_in("lena")
        lena.open("max")
        picture = lena.log.get_by_role("img", name="Picture, 69 bytes")
        expect(picture).to_be_visible()
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 1
        with lena.page.expect_download() as download:
            lena.log.get_by_role("button", name="File, 8 bytes").click()
        assert download.value.path().read_bytes() == b"%PDF-1.7"


def test_by_keyboard_alone(broker: WebBroker, profiles: Profiles) -> None:
    broker.create_users("nora", "otto")
    page = profiles.page()
    keys = page.keyboard
    nora = Person(page)
    expect(page.locator("#login-user")).to_be_focused()
    keys.type("nora")
    keys.press("Tab")
    keys.type("correct horse")
    keys.press("Enter")
    begin = page.get_by_role("button", name="New conversation").first
    expect(page.locator("#me-state")).to_contain_text("online")
    begin.wait_for()
    for _ in range(12):
        keys.press("Tab")
        if page.evaluate("document.activeElement.id") == "open-new":
            break
    keys.press("Enter")
    expect(page.locator("#new-user")).to_be_focused()
    keys.press("Escape")
    expect(page.locator("#open-new")).to_be_focused()
    keys.press("Enter")
    keys.type("otto")
    keys.press("Enter")
    expect(page.get_by_label("Message", exact=True)).to_be_focused()
    keys.type("first")
    keys.press("Shift+Enter")
    keys.type("second")
    keys.press("Enter")
    nora.sees_stored("first\nsecond")
    keys.type("third")
    keys.press("Enter")
    nora.sees_stored("third")
    keys.press("Shift+Tab")
    expect(nora.log).to_be_focused()
    keys.press("ArrowUp")
    expect(nora.message("third")).to_be_focused()
    keys.press("ArrowUp")
    expect(nora.message("first\nsecond")).to_be_focused()
    keys.press("Escape")
    expect(nora.conversation("otto")).to_be_focused()
    keys.press("Enter")
    expect(page.get_by_label("Message", exact=True)).to_be_focused()


def test_on_a_phone_one_pane_at_a_time_and_nothing_sticks_out(broker: WebBroker, profiles: Profiles) -> None:
    broker.create_users("paul", "quinn" + "n" * 59)
    page = profiles.page(viewport=PHONE, has_touch=True, is_mobile=True)
    paul = Person(page)
    fits = "() => document.documentElement.scrollWidth <= innerWidth && innerWidth <= 360"
    assert page.evaluate(fits)
    expect(page.get_by_label("Phone", exact=True)).to_be_checked()
    paul.log_in("paul", "Phone")
    assert page.evaluate(fits)
    paul.write_to("quinn" + "n" * 59)
    paul.send("word" * 200)
    paul.sees_stored("word" * 200)
    expect(page.get_by_role("navigation", name="Conversations")).to_be_hidden()
    assert page.evaluate(fits)
    page.go_back()
    expect(page.get_by_role("navigation", name="Conversations")).to_be_visible()
    expect(paul.log).to_be_hidden()
    for opens in ("#open-new", "#open-people", "#open-devices"):
        page.locator(opens).click()
        assert page.evaluate(fits)
        assert page.locator("dialog[open]").evaluate("dialog => dialog.scrollWidth <= dialog.clientWidth")
        page.keyboard.press("Escape")
