"""Groups, contacts, blocks and one's own devices on the chat page, in a real browser."""

import pytest
from playwright.sync_api import Locator, expect

from admin.running import PASSWORD
from roost_protocol.reasons import Reason
from web.browser import Profiles, WebBroker
from web.devices import TcpDevice
from web.person import Person

pytestmark = [pytest.mark.process, pytest.mark.browser]


def about(person: Person, name: str) -> Locator:
    """Open what there is to know about the open conversation."""
    person.page.get_by_role("button", name="About this conversation").click()
    return person.page.get_by_role("dialog", name=name)


def sure(person: Person, words: str) -> None:
    """Say that one is sure."""
    person.page.get_by_role("alertdialog").get_by_role("button", name=words).click()


def test_a_group_from_its_beginning_to_its_end(broker: WebBroker, profiles: Profiles) -> None:
    broker.create_users("alma", "bert", "carl", "dora")
    alma = Person(profiles.page()).log_in("alma")
    bert = Person(profiles.page()).log_in("bert")
    alma.page.locator("#open-new").click()
    alma.page.get_by_label("Name of the group").fill("Chess club")
    alma.page.get_by_label("Members besides you").fill("bert, nobody")
    alma.page.get_by_role("button", name="Create the group").click()
    expect(alma.page.locator("#new-group .problem")).to_have_text("There is no such user or group.")
    alma.page.get_by_label("Members besides you").fill("bert, carl")
    alma.page.get_by_role("button", name="Create the group").click()
    expect(alma.page.locator("#peer-state")).to_have_text("Group, 3 members")
    alma.send("Who brings the clock?")
    alma.sees_stored("Who brings the clock?")
    bert.open("Chess club")
    expect(bert.message("Who brings the clock?")).to_contain_text("alma")
    bert.send("I do")
    alma.sees("I do")
    dialog = about(alma, "Chess club")
    members = dialog.get_by_role("list", name="Members").get_by_role("listitem")
    expect(members).to_have_count(3)
    expect(members.filter(has_text="alma")).to_contain_text("owner")
    dialog.get_by_label("Add members").fill("dora")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(members).to_have_count(4)
    dialog.get_by_role("button", name="Remove carl from the group").click()
    sure(alma, "Remove")
    expect(members).to_have_count(3)
    alma.page.keyboard.press("Escape")
    expect(about(bert, "Chess club").get_by_role("button", name="Remove")).to_have_count(0)
    bert.page.get_by_role("button", name="Leave the group").click()
    sure(bert, "Leave")
    expect(bert.conversation("Chess club")).to_contain_text("I do")  # what was said stays
    bert.send("One more thing")
    expect(bert.message("One more thing")).to_contain_text("You are not a member of this group.")


def test_contacts_and_blocks(broker: WebBroker, profiles: Profiles) -> None:
    broker.create_users("emil", "fritz", "gerd")
    emil = Person(profiles.page()).log_in("emil")
    people = emil.page.get_by_role("dialog", name="People")
    emil.page.get_by_role("button", name="Contacts and blocked people").click()
    expect(people).to_contain_text("No contacts yet.")
    people.get_by_label("Add a contact").fill("nobody")
    people.get_by_role("button", name="Add", exact=True).click()
    expect(people.locator("#add-contact .problem")).to_have_text("There is no such user or group.")
    people.get_by_label("Add a contact").fill("fritz")
    people.get_by_role("button", name="Add", exact=True).click()
    contacts = people.get_by_role("list", name="Contacts")
    expect(contacts).to_contain_text("fritz")
    with TcpDevice(broker.address, "fritz", "phone"):
        expect(contacts).to_contain_text("Online on phone")
    people.get_by_label("Block somebody").fill("gerd")
    people.get_by_role("button", name="Block", exact=True).click()
    expect(people.get_by_role("list", name="Blocked")).to_contain_text("gerd")
    gerd = Person(profiles.page()).log_in("gerd")
    gerd.write_to("emil")
    gerd.send("Hello?")
    expect(gerd.message("Hello?")).to_contain_text("emil takes no messages from you.")
    people.get_by_role("button", name="Unblock gerd").click()
    expect(people).to_contain_text("Nobody is blocked.")
    gerd.message("Hello?").get_by_role("button", name="Try again").click()
    gerd.sees_stored("Hello?")
    people.get_by_role("button", name="Message fritz").click()
    expect(people).to_be_hidden()
    dialog = about(emil, "fritz")
    dialog.get_by_role("button", name="Remove from contacts").click()
    expect(dialog.get_by_role("button", name="Add to contacts")).to_be_visible()
    dialog.get_by_role("button", name="Block", exact=True).click()
    expect(dialog.get_by_role("button", name="Unblock", exact=True)).to_be_visible()


def test_a_device_of_ones_own_is_logged_out(broker: WebBroker, profiles: Profiles) -> None:
    broker.create_users("hanna")
    hanna = Person(profiles.page()).log_in("hanna")
    with TcpDevice(broker.address, "hanna", "phone") as phone:
        hanna.page.get_by_role("button", name="Your devices").click()
        dialog = hanna.page.get_by_role("dialog", name="Your devices")
        devices = dialog.get_by_role("list", name="Your devices").get_by_role("listitem")
        expect(devices).to_have_count(2)
        expect(devices.filter(has_text="this one")).to_contain_text("roost chat")
        expect(devices.filter(has_text="phone")).to_contain_text("Online since today")
        dialog.get_by_role("button", name="Log out phone").click()
        sure(hanna, "Log it out")
        assert phone.expect_end().reason is Reason.LOGGED_OUT
        expect(devices.filter(has_text="phone")).to_contain_text("Last seen today")


def test_a_browser_that_was_logged_out_goes_on_after_the_password(broker: WebBroker, profiles: Profiles) -> None:
    broker.create_users("iris")
    iris = Person(profiles.page()).log_in("iris")
    iris.write_to("iris")
    iris.send("note to self")
    iris.sees_stored("note to self")
    device = iris.page.evaluate("import('/sdk/roost.js').then((sdk) => sdk.remembered()).then(([one]) => one.device)")
    with TcpDevice(broker.address, "iris", "phone") as phone:
        phone.log_out(device)
    expect(iris.notice).to_be_visible()
    iris.notice.get_by_role("button", name="Log in again").click()
    expect(iris.page.locator("#login-user")).to_have_value("iris")
    iris.page.locator("#login-password").fill(PASSWORD)
    iris.page.get_by_role("button", name="Log in", exact=True).click()
    expect(iris.page.locator("#me-state")).to_have_text("PC · online")
    iris.sees("note to self")


def test_the_password_is_changed(broker: WebBroker, profiles: Profiles) -> None:
    broker.create_users("jule")
    jule = Person(profiles.page()).log_in("jule")
    jule.page.get_by_role("button", name="Your devices").click()
    form = jule.page.locator("#set-password")
    form.get_by_label("Present password").fill("wrong")
    form.get_by_label("New password").fill("battery staple")
    form.get_by_role("button", name="Change").click()
    expect(form.locator(".problem")).to_contain_text("password")
    form.get_by_label("Present password").fill(PASSWORD)
    form.get_by_role("button", name="Change").click()
    expect(jule.page.locator(".toast")).to_contain_text("The password was changed.")
    Person(profiles.page()).log_in("jule", "Browser", "battery staple")
