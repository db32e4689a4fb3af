/**
 * The messages of a conversation on the screen: a feed of which only what is in sight (and some around it) is in the
 * page, however long it is.
 *
 * Rows above and below what is drawn are two spacers. Heights are estimates until a row was drawn once; then they are
 * measured, and the row at the top of the view stays where it is. Somebody who reads the end stays at the end.
 */

import { coalesced, make } from "./dom.js";
import { Heights } from "./heights.js";

const ESTIMATE_PX = 52;
/** Drawn beyond what is in sight, on each side. */
const AROUND_PX = 700;
/** So near to the first row, older ones are asked for. */
const NEAR_TOP_PX = 1_200;
/** So near to the end one reads the end. */
const NEAR_END_PX = 48;
/** Drawing changes heights, and they what is to be drawn; it settles in two or three rounds. */
const ROUNDS_MAX = 5;

export class Timeline {
  #log;
  #build;
  #reachedTop;
  #moved;
  #heights = new Heights(ESTIMATE_PX);
  #rows = [];
  #index = new Map();
  #drawn = new Map();
  #above = make("div", { class: "space" });
  #below = make("div", { class: "space" });
  #atEnd = true;
  #width = 0;
  #observer;

  /** `build(row)` makes a row's element, `reachedTop()` asks for older rows, `moved(atEnd)` tells of scrolling. */
  constructor(log, { build, reachedTop, moved }) {
    this.#log = log;
    this.#build = build;
    this.#reachedTop = reachedTop;
    this.#moved = moved;
    log.append(this.#above, this.#below);
    log.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    log.addEventListener("keydown", (event) => this.#key(event));
    this.#observer = new ResizeObserver(coalesced(() => this.#resized()));
    this.#observer.observe(log);
  }

  get atEnd() {
    return this.#atEnd;
  }

  /** Another conversation: nothing is known of its rows, and its end is shown. */
  clear() {
    for (const { element } of this.#drawn.values()) this.#remove(element);
    this.#drawn.clear();
    this.#heights = new Heights(ESTIMATE_PX);
    this.#rows = [];
    this.#index.clear();
    this.#atEnd = true;
  }

  /** The rows there are now. Those that stay keep their place on the screen. */
  set(rows) {
    const anchor = this.#anchor();
    this.#rows = rows;
    this.#index = new Map(rows.map((row, index) => [row.key, index]));
    this.#heights.setKeys(rows.map((row) => row.key));
    this.#draw(anchor);
    if (this.#log.scrollTop < NEAR_TOP_PX) this.#reachedTop();
  }

  toEnd() {
    this.#atEnd = true;
    this.#draw(null);
    this.#moved(true);
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#log;
    this.#atEnd = scrollHeight - clientHeight - scrollTop <= NEAR_END_PX;
    this.#draw(this.#anchor(true)); // whoever scrolls goes where he wants, away from the end as well
    this.#moved(this.#atEnd);
    if (scrollTop < NEAR_TOP_PX) this.#reachedTop();
  }

  #resized() {
    if (this.#log.clientHeight === 0) return; // it is hidden
    const anchor = this.#anchor();
    if (this.#log.clientWidth !== this.#width) {
      this.#width = this.#log.clientWidth;
      this.#heights.forget();
    }
    this.#draw(anchor);
  }

  /** The row at the top of the view, and how far its top is above that; null where the end is what stays. */
  #anchor(always = false) {
    if ((this.#atEnd && !always) || this.#rows.length === 0) return null;
    const top = this.#log.scrollTop;
    const index = this.#heights.indexAt(top);
    return { key: this.#rows[index].key, offset: this.#heights.start(index) - top };
  }

  #draw(anchor) {
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      const top = this.#atEnd && !anchor ? this.#heights.total : this.#topFor(anchor);
      const bottom = top + this.#log.clientHeight;
      const from = Math.max(0, this.#heights.indexAt(top - this.#log.clientHeight - AROUND_PX));
      const to = Math.min(this.#rows.length, this.#heights.indexAt(bottom + AROUND_PX) + 1);
      this.#place(from, to);
      this.#above.style.height = `${this.#heights.start(from)}px`;
      this.#below.style.height = `${this.#heights.total - this.#heights.start(to)}px`;
      const changed = this.#measure();
      if (!changed) break;
    }
    this.#above.style.height = `${this.#heights.start(this.#firstDrawn())}px`;
    const wanted = this.#topFor(anchor);
    if (Math.abs(this.#log.scrollTop - wanted) >= 1) this.#log.scrollTop = wanted;
  }

  #topFor(anchor) {
    if (this.#atEnd && !anchor) return Math.max(0, this.#log.scrollHeight - this.#log.clientHeight);
    const index = anchor ? this.#index.get(anchor.key) : undefined;
    return index === undefined ? this.#log.scrollTop : this.#heights.start(index) - anchor.offset;
  }

  #firstDrawn() {
    const key = this.#drawn.keys().next().value;
    return key === undefined ? 0 : (this.#index.get(key) ?? 0);
  }

  /** Have the rows `from` to `to` (exclusive) in the page, in order, and no others. */
  #place(from, to) {
    const wanted = this.#rows.slice(from, to);
    const keys = new Set(wanted.map((row) => row.key));
    for (const [key, { element }] of this.#drawn) if (!keys.has(key)) this.#remove(element);
    const before = this.#drawn;
    this.#drawn = new Map();
    let next = this.#above.nextSibling;
    wanted.forEach((row, offset) => {
      const old = before.get(row.key);
      const element = old?.sign === row.sign ? old.element : this.#build(row);
      if (old && element !== old.element) {
        const hadFocus = old.element.contains(document.activeElement);
        if (old.element === next) next = next.nextSibling;
        old.element.replaceWith(element);
        this.#observer.unobserve(old.element);
        if (hadFocus) element.focus({ preventScroll: true });
      }
      if (element === next) next = next.nextSibling;
      else if (element.nextSibling !== next || !element.isConnected) this.#log.insertBefore(element, next);
      if (!old || old.element !== element) this.#observer.observe(element);
      element.setAttribute("aria-posinset", String(from + offset + 1));
      element.setAttribute("aria-setsize", String(this.#rows.length));
      this.#drawn.set(row.key, { element, sign: row.sign });
    });
  }

  #remove(element) {
    if (element.contains(document.activeElement)) this.#log.focus({ preventScroll: true });
    this.#observer.unobserve(element);
    element.remove();
  }

  #measure() {
    let changed = false;
    for (const [key, { element }] of this.#drawn) {
      if (this.#heights.measure(key, element.getBoundingClientRect().height)) changed = true;
    }
    return changed;
  }

  /** Arrows, Home and End go from message to message; the rest scrolls as everywhere. */
  #key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || this.#rows.length === 0) return;
    if (event.target !== this.#log && event.target.getAttribute("role") !== "article") return;
    const now = this.#index.get(event.target.dataset?.key);
    const last = this.#rows.length - 1;
    const inSight = this.#heights.indexAt(this.#log.scrollTop + this.#log.clientHeight - 8);
    const targets = {
      ArrowUp: now === undefined ? inSight : Math.max(0, now - 1),
      ArrowDown: now === undefined ? inSight : Math.min(last, now + 1),
      Home: 0,
      End: last,
    };
    const index = targets[event.key];
    if (index === undefined) return;
    event.preventDefault();
    this.#focus(index);
  }

  #focus(index) {
    const { key } = this.#rows[index];
    if (!this.#drawn.has(key)) {
      this.#atEnd = false;
      this.#draw({ key, offset: 0 });
    }
    this.#drawn.get(key)?.element.focus({ preventScroll: true });
    this.#drawn.get(key)?.element.scrollIntoView({ block: "nearest" });
    this.#scrolled();
  }
}
