/** The dialog of one's own devices: where one is logged in, logging a device out, changing the password. */

import { fillList, onSubmit, openDialog, sure } from "./dialogs.js";
import { byId, icon, make, problem } from "./dom.js";
import { counted, failureWords, moment, terminalIcon, terminalName } from "./words.js";

export class Devices {
  #app;

  constructor(app) {
    this.#app = app;
    byId("open-devices").addEventListener("click", () => {
      openDialog("dialog-devices");
      byId("set-password").querySelector("[name=username]").value = app.session.user;
      this.#load();
    });
    onSubmit("set-password", async ({ old, new: fresh }) => {
      if (!old || !fresh) throw new Error("Both passwords are needed.");
      await this.#app.session.setPassword(old, fresh);
      this.#app.tell("The password was changed. Your other devices need it at their next log-in.");
    });
  }

  async #load() {
    const trouble = byId("devices-problem");
    problem(trouble, "");
    try {
      const devices = await this.#app.loadDevices();
      const order = (device) => (device.this ? 0 : device.online ? 1 : 2);
      devices.sort((one, other) => order(one) - order(other) || other.lastSeenMs - one.lastSeenMs);
      fillList(
        byId("devices"),
        devices.map((device) => this.#item(device)),
        "No devices.",
      );
    } catch (error) {
      problem(trouble, failureWords(error));
    }
  }

  #item(device) {
    const when = device.online
      ? `Online since ${moment(device.sinceMs ?? device.lastSeenMs)}`
      : `Last seen ${moment(device.lastSeenMs)}`;
    const from = device.address ? ` from ${device.address}` : "";
    const behind = Math.max(0, this.#app.session.state.head - device.acknowledged);
    const waits = behind > 0 && !device.this ? `, ${counted(behind, "message")} behind` : "";
    return make(
      "li",
      { class: device.online ? "online" : "" },
      icon(terminalIcon(device.terminal)),
      make(
        "span",
        { class: "grow" },
        make(
          "strong",
          {},
          terminalName(device.terminal),
          " ",
          device.this ? make("span", { class: "badge" }, "this one") : null,
        ),
        make("small", {}, `${when}${from}${waits}`),
        make("small", { class: "mono" }, device.client ? `${device.device} · ${device.client}` : device.device),
      ),
      device.this
        ? null
        : make(
            "button",
            {
              type: "button",
              class: "quiet",
              "aria-label": `Log out ${terminalName(device.terminal)} ${device.device}`,
              onclick: () => this.#logOut(device),
            },
            "Log out",
          ),
    );
  }

  async #logOut(device) {
    const name = terminalName(device.terminal);
    if (
      !(await sure(
        "Log a device out",
        `The session on this ${name} (${device.device}) ends, and it needs the password again.`,
        "Log it out",
      ))
    )
      return;
    try {
      await this.#app.session.logOutDevice(device.device);
    } catch (error) {
      problem(byId("devices-problem"), failureWords(error));
      return;
    }
    await this.#load();
  }
}
