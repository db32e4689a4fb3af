"""W11, browsers: a message from a page in one browser to a page in another, there and back.

Two browsers with a profile each, as on two machines; each page is a device by way of the SDK, with its storage in
IndexedDB. One publishes, the other publishes an answer as soon as it has the message, and the first looks at its clock
when the answer is there. Half of that is what one message took, through SDK, WebSocket, commit, WebSocket and SDK; no
clocks of two processes are compared. One message at a time.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from roost_benchmarks.brokers.port import PASSWORD, free_port
from roost_benchmarks.brokers.roost import Roost
from roost_benchmarks.latency import Latency
from roost_benchmarks.progress import Progress
from roost_benchmarks.result import Oracle, Run
from roost_benchmarks.target import Meter

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM: Final = Path("/usr/bin/chromium")
"""Debian's."""
ARGS: Final = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking")
USERS: Final = ("user0", "user1")
STALL_MS: Final = 60_000
"""A page that has not done its part by then never will."""

LOG_IN: Final = """async ([user, password]) => {
  const { connect } = await import("/sdk/roost.js");
  window.session = await connect({ user, password, terminal: "web" });
  window.numbers = [];
  session.on("entry", ({ seq }) => numbers.push(seq));
  await session.live();
}"""

ANSWER: Final = """(to) => {
  session.on("entry", ({ own, text }) => { if (!own) session.publish(to, text); });
}"""

ASK: Final = """async ([to, count, bytes]) => {
  const came = new Map();
  const stop = session.on("entry", ({ own, text }) => { if (!own) came.get(text)(performance.now()); });
  const tookMs = [];
  for (let at = 0; at < count; at += 1) {
    const text = String(at).padEnd(bytes, "x");
    const answered = new Promise((resolve) => came.set(text, resolve));
    const begin = performance.now();
    session.publish(to, text);
    tookMs.push(await answered - begin);
  }
  stop?.();
  return tookMs;
}"""

COUNT: Final = "() => [numbers.length, new Set(numbers).size]"


class BrowsersOptions(Struct, frozen=True, kw_only=True):
    """W11."""

    messages: int = 500
    """There, and as many back."""
    warm_up_messages: int = 50
    body_bytes: int = 128


def run(folder: Path, options: BrowsersOptions, progress: Progress) -> Run:
    """One run. Raises RuntimeError without a browser, and for an entry that is missed or doubled."""
    port = free_port()
    with (
        Roost(toml=f'web_listen = "127.0.0.1:{port}"\n').start(folder, USERS) as target,
        _pages(port) as (one, other),
    ):
        for page, user in zip((one, other), USERS, strict=True):
            page.evaluate(LOG_IN, [user, PASSWORD])
        other.evaluate(ANSWER, f"user/{USERS[0]}")
        to = f"user/{USERS[1]}"
        one.evaluate(ASK, [to, options.warm_up_messages, options.body_bytes])
        progress.update(0.1, "pages are warm")
        meter = Meter(target)
        took_ms: list[float] = one.evaluate(ASK, [to, options.messages, options.body_bytes])
        process, generator = meter.stop(2 * options.messages)
        messages = 2 * (options.warm_up_messages + options.messages)
        checked = _checked((one, other), messages)
    latency = Latency().record_all([round(took / 2 * 1e6) for took in took_ms])
    return Run(
        workload="W11",
        name="browsers",
        broker=target.name,
        options={"body_bytes": options.body_bytes},
        figures={"messages_per_s": round(2 * options.messages / meter.seconds, 1)},
        latency_ms=latency.shown_ms(),
        hdr=latency.encoded(),
        process=process,
        generator=generator,
        oracle=Oracle(entries_checked=checked),
        seconds=round(meter.seconds, 2),
    )


def _checked(pages: tuple["Page", "Page"], messages: int) -> int:
    """Every page comes to hold every message once: the entries in all. Raises RuntimeError."""
    end = time.monotonic() + STALL_MS / 1000
    for page in pages:
        while (came := page.evaluate(COUNT))[0] < messages and time.monotonic() < end:
            page.wait_for_timeout(50)
        if came != [messages, messages]:
            raise RuntimeError(f"a page was told {came[0]} entries, {came[1]} different ones, of {messages}")
    return len(pages) * messages


@contextmanager
def _pages(port: int) -> Iterator[tuple["Page", "Page"]]:
    """Two pages of this broker, each in a browser of its own. Raises RuntimeError if there is none here."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        raise RuntimeError("there is no playwright here: `make bench-web` installs it") from error
    if not CHROMIUM.exists():
        raise RuntimeError(f"there is no browser at {CHROMIUM}: apt-get install chromium")
    with sync_playwright() as playwright, ExitStack() as browsers:

        def opened() -> "Page":
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGS), headless=True)
            browsers.callback(browser.close)
            page = browser.new_page()
            page.set_default_timeout(STALL_MS)
            page.goto(f"http://127.0.0.1:{port}/livez")
            return page

        try:
            yield opened(), opened()
        except Error as error:
            raise RuntimeError(f"in the browser: {error.message}") from error
