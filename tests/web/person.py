"""What a person does with the chat page, in the words of its labels, and what he sees on it."""

from playwright.sync_api import Locator, Page, expect

from admin.running import PASSWORD


class Person:
    """Somebody before one tab with the chat page."""

    def __init__(self, page: Page) -> None:
        self.page = page

    # --- doing ---

    def log_in(self, user: str, terminal: str = "PC", password: str = PASSWORD) -> "Person":
        """Fill in the form, and wait until the conversations are there."""
        self.fill_log_in(user, terminal, password)
        expect(self.page.locator("#me-state")).to_contain_text("online")
        return self

    def fill_log_in(self, user: str, terminal: str = "PC", password: str = PASSWORD) -> None:
        """Fill in the form, and send it."""
        form = self.page.locator("#login-form")
        form.get_by_label("User", exact=True).fill(user)
        form.get_by_label("Password", exact=True).fill(password)
        form.get_by_label(terminal, exact=True).check()
        form.get_by_role("button", name="Log in", exact=True).click()

    def write_to(self, user: str) -> None:
        """Begin a conversation with a user."""
        self.page.locator("#open-new").click()
        dialog = self.page.get_by_role("dialog", name="New conversation")
        dialog.get_by_label("User", exact=True).fill(user)
        dialog.get_by_role("button", name="Open", exact=True).click()
        expect(self.page.get_by_role("heading", name=user, exact=True, level=2)).to_be_visible()

    def open(self, name: str) -> None:
        """Open a conversation of the list."""
        self.conversation(name).click()
        expect(self.page.get_by_role("heading", name=name, exact=True, level=2)).to_be_visible()

    def send(self, text: str) -> None:
        """Write a message into the open conversation."""
        field = self.page.get_by_label("Message", exact=True)
        field.fill(text)
        field.press("Enter")
        expect(field).to_have_value("")

    # --- seeing ---

    @property
    def log(self) -> Locator:
        """The messages of the open conversation."""
        return self.page.get_by_role("feed")

    def message(self, text: str) -> Locator:
        """The message with exactly this text."""
        return self.log.get_by_role("article").filter(has=self.page.get_by_text(text, exact=True))

    def conversation(self, name: str) -> Locator:
        """A conversation in the list."""
        rows = self.page.get_by_role("navigation", name="Conversations").get_by_role("button")
        return rows.filter(has=self.page.locator(".name").get_by_text(name, exact=True))

    def sees(self, *texts: str) -> None:
        """Wait until each of these messages is there, once."""
        for text in texts:
            expect(self.message(text)).to_have_count(1)

    def sees_stored(self, text: str) -> None:
        """Wait until this message of one's own is stored."""
        expect(self.message(text).get_by_role("img", name="Stored")).to_be_visible()

    def texts(self) -> list[str]:
        """The messages that are drawn, from the top."""
        return self.log.locator(".body").all_text_contents()

    @property
    def notice(self) -> Locator:
        """The notice that this session is over."""
        return self.page.locator("#dialog-kicked")
