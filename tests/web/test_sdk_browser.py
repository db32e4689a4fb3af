"""The browser SDK in a real browser: its storage in IndexedDB, and tabs that share it."""

from pathlib import Path
from typing import Any

import pytest

CONFORMANCE = Path(__file__).parent / "sdk" / "conformance.js"

CHECK_STORAGE = """async () => {
  const { IndexedDbStorage } = await import("/sdk/roost.js");
  const { conformance } = await import("/sdk/conformance.js");
  const plain = (value) => JSON.stringify(value, (_, part) => (part && !Array.isArray(part) && typeof part === "object"
    ? Object.fromEntries(Object.entries(part).sort()) : part));
  const equal = (found, expected, what = "") => {
    const [one, other] = [plain(found), plain(expected)];
    if (one !== other) throw new Error(`${what}: found ${one}, expected ${other}`);
  };
  const failed = [];
  for (const [name, check] of Object.entries(conformance)) {
    try {
      await check({ equal, deepEqual: equal }, () => new IndexedDbStorage({ name: `test of ${name}` }));
    } catch (error) {
      failed.push(`${name}: ${error.stack}`);
    }
  }
  return [Object.keys(conformance).length, failed];
}"""

OPEN = """async ([user, password]) => {
  const roost = await import("/sdk/roost.js");
  const session = await roost.connect({ user, terminal: "web", password: password ?? undefined });
  window.session = session;
  window.heard = [];
  session.on("entry", ({ text }) => window.heard.push(text));
  const stored = (await session.read()).items.map(({ text }) => text);
  await session.live();
  return stored;
}"""

STATE = "() => [session.state.status, session.state.leader, session.position]"
LEADS = "(position) => session.state.status === 'live' && session.state.leader && session.position >= position"
MANY = 60
BURST = """([to, many]) => {
  window.burst = Array.from({ length: many }, (_, at) => session.publish(to, `${at}`).settled);
}"""
PUBLISH = "([to, text]) => session.publish(to, text).settled"


def _open(page: Any, user: str, password: str | None = None) -> Any:
    page.route("**/favicon.ico", lambda route: route.fulfill(status=204))
    page.goto("/livez")  # any page of the origin
    return page.evaluate(OPEN, [user, password])


@pytest.mark.process
def test_storage_in_indexed_db_does_what_every_storage_does(profiles: Any) -> None:
    page = profiles.profile().new_page()
    page.route("**/sdk/conformance.js", lambda route: route.fulfill(path=CONFORMANCE, content_type="text/javascript"))
    page.goto("/livez")
    checked, failed = page.evaluate(CHECK_STORAGE)
    assert failed == []
    assert checked > 5


@pytest.mark.process
def test_tabs_share_a_session_which_outlives_each_of_them(profiles: Any, broker: Any) -> None:
    broker.create_users("tabitha", "bob-of-tabs")
    profile = profiles.profile()
    first, second = profile.new_page(), profile.new_page()
    assert _open(first, "tabitha", "correct horse") == []
    assert _open(second, "tabitha") == []  # no password: the first has stored a token
    assert first.evaluate(STATE) == ["live", True, 0]
    assert second.evaluate(STATE) == ["live", False, 0]
    assert second.evaluate(PUBLISH, ["user/bob-of-tabs", "from the second tab"])["n"] == 1
    for page in (first, second):
        page.wait_for_function("() => session.position === 1")
        assert page.evaluate("() => heard") == ["from the second tab"]
    # The leading tab dies in the middle of what the other sends through it.
    second.evaluate(BURST, ["user/bob-of-tabs", MANY])
    first.close()
    assert second.evaluate("() => Promise.all(burst).then(({ length }) => length)") == MANY
    second.wait_for_function(LEADS, arg=1 + MANY)
    texts = ["from the second tab", *(str(number) for number in range(MANY))]
    assert second.evaluate("() => heard") == texts
    assert second.evaluate("() => session.publications.length") == 0
    assert _open(second, "tabitha") == texts[-50:]  # a reload: there at once
    assert second.evaluate("() => heard") == []
    sessions = broker.ask("sessions", "list", "--json").output
    assert sessions.count('"user":"tabitha"') + sessions.count('"user": "tabitha"') == 1


@pytest.mark.process
def test_history_of_many_entries_is_stored_and_read_back(profiles: Any, broker: Any) -> None:
    broker.create_users("hoarder")
    page = profiles.profile().new_page()
    _open(page, "hoarder", "correct horse")
    page.evaluate(
        """async () => {
          const publications = [];
          for (let i = 1; i <= 600; i += 1) publications.push(session.publish("user/hoarder", `${i}`));
          await Promise.all(publications.map(({ settled }) => settled));
        }"""
    )
    page.wait_for_function("() => session.position === 600")
    assert page.evaluate("() => session.publications.length") == 0
    assert _open(page, "hoarder") == [str(number) for number in range(551, 601)]
    assert page.evaluate(
        """async () => {
          const texts = [];
          for await (const { text } of session.entries()) if (texts.push(text) === 600) break;
          return texts;
        }"""
    ) == [str(number) for number in range(1, 601)]


@pytest.mark.process
def test_logging_out_deletes_the_databases(profiles: Any, broker: Any) -> None:
    broker.create_users("leaver")
    profile = profiles.profile()
    first, second = profile.new_page(), profile.new_page()
    _open(first, "leaver", "correct horse")
    _open(second, "leaver")
    second.evaluate("() => session.logOut()")
    first.wait_for_function("() => session.state.status === 'closed'")
    first.wait_for_function("async () => !(await indexedDB.databases()).some(({ name }) => name.includes('leaver'))")
    assert second.evaluate("async () => (await import('/sdk/roost.js')).remembered()") == []
