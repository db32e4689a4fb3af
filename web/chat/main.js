/** The start of the page: a session that this browser remembers, or the log-in form. */

import * as roost from "../sdk/roost.js";
import { App } from "./app.js";
import { byId, problem, show } from "./dom.js";
import { Login } from "./login.js";
import { endedWords } from "./words.js";

/** A new device does not ask for more of an old inbox; what is older comes when somebody scrolls back to it. */
const NEWEST = 10_000;
const CLIENT = "roost chat";
/** What the SDK says when there was no answer at all. */
const NO_ANSWER = new Set([roost.Reason.UNSPECIFIED_ERROR, roost.Reason.SERVER_UNAVAILABLE]);

let session = null;
let again = false;

const app = new App({ logOut, logInAgain, closed });
const login = new Login((typed) => (again ? logBackIn(typed) : logIn(typed)));

async function logIn({ user, password, terminal, remember }) {
  const opened = await roost.connect({ user, password, terminal, remember, newest: NEWEST, client: CLIENT });
  try {
    await firstLogin(opened);
  } catch (error) {
    await opened.close();
    throw error;
  }
  await enter(opened);
}

/** Wait for the log-in; a network that is down is an answer, too, while a person waits at a form. */
function firstLogin(opened) {
  return new Promise((resolve, reject) => {
    const stop = opened.on("state", (state) => {
      if (state.status !== "waiting") return;
      stop();
      reject(NO_ANSWER.has(state.reason) ? new roost.ConnectionFailed(state.reason, state.text) : refusal(state));
    });
    opened.live().then(resolve, reject).finally(stop);
  });
}

function refusal({ reason, text }) {
  return Object.assign(new Error(text), { name: "LoginRefused", reason, text });
}

async function logBackIn({ password }) {
  await session.useHere({ password });
  again = false;
  login.hide();
  show(byId("app"), true);
}

/** The session needs its password: what it holds stays, and goes on after the log-in. */
function logInAgain() {
  again = true;
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  const { title } = endedWords(session.state, session.terminal);
  login.show({ fixed: session, text: `${title}.` });
}

async function enter(opened) {
  session = opened;
  login.hide();
  await app.begin(opened);
}

async function logOut() {
  try {
    app.forget();
    await session.logOut();
  } finally {
    location.replace(location.pathname);
  }
}

/** Another tab has logged out. */
function closed() {
  location.replace(location.pathname);
}

async function start() {
  let known = [];
  try {
    known = await roost.remembered();
  } catch (error) {
    login.show({ text: "This browser gives the page no storage: nothing will be remembered." });
    throw error;
  }
  if (known.length === 0) return login.show();
  const { url, user, terminal } = known[0];
  try {
    return await enter(await roost.connect({ url, user, terminal, newest: NEWEST, client: CLIENT }));
  } catch (error) {
    login.show();
    problem(byId("login-problem"), error instanceof roost.NotLoggedIn ? "" : String(error.message));
    return undefined;
  }
}

start();
