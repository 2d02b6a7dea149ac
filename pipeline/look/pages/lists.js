// Lists of images: those that the server has, read in windows, and those that a page has in its hands.

import { get } from "./api.js";
import { settled, unsavedRows, verdicts } from "./judge.js";

const WINDOW = 120;
const KEPT = 80;
// What a verdict may change; the rest of a row is the list's own, such as the note that says why it is there.
const CHANGES = ["label", "given", "verdict", "split", "rule"];

class Rows extends EventTarget {
  constructor() {
    super();
    this.total = 0;
    this.left = 0;
    this.rows = new Map();
    this.places = new Map();
    this.heard = (event) => this.patch(event.detail);
    verdicts.addEventListener("rows", this.heard);
  }

  /** Nobody looks at this list any more. */
  close() {
    verdicts.removeEventListener("rows", this.heard);
  }

  /** The row at a place, if it is here already. */
  row(place) {
    return this.rows.get(place);
  }

  /** The place of an image, or -1. */
  place(id) {
    return this.places.get(id) ?? -1;
  }

  /** Whether a verdict may take an image out of this list. */
  narrowed() {
    return false;
  }

  /** How many images the list has for the server: those that a verdict has taken out of it do not count. */
  listed() {
    return this.total;
  }

  put(start, rows) {
    rows.forEach((row, offset) => {
      this.rows.set(start + offset, row);
      this.places.set(row.id, start + offset);
    });
  }

  patch(rows) {
    let found = false;
    for (const row of rows) {
      const here = this.rows.get(this.place(row.id));
      if (!here) continue;
      if ("verdict" in row) this.left += Boolean(here.verdict) - Boolean(row.verdict);
      for (const name of CHANGES) if (name in row) here[name] = row[name];
      found = true;
    }
    if (found) this.tell("rows");
  }

  tell(name) {
    this.dispatchEvent(new Event(name));
  }
}

/** A list of the server: a queue, perhaps narrowed by class, split, rule, verdict or text. */
export class ServerList extends Rows {
  constructor(params) {
    super();
    this.params = params;
    this.asked = new Map();
    this.known = false;
  }

  /** Fetch what is missing between two places. */
  need(from, to) {
    const first = Math.max(0, Math.floor(from / WINDOW));
    const last = Math.floor(Math.min(to, this.known ? this.total - 1 : 0) / WINDOW);
    const fetches = [];
    for (let window = first; window <= last; window++) fetches.push(this.fetch(window));
    return Promise.all(fetches);
  }

  /** The row at a place, fetched if need be. */
  async load(place) {
    if (!this.rows.has(place)) await this.need(place, place);
    return this.rows.get(place);
  }

  fetch(window, again = false) {
    if (!again && this.asked.has(window)) return this.asked.get(window);
    const fetching = this.read(window).catch((error) => {
      this.asked.delete(window);
      this.dispatchEvent(new CustomEvent("failed", { detail: error }));
    });
    this.asked.delete(window);
    this.asked.set(window, fetching);
    this.forget();
    return fetching;
  }

  async read(window) {
    // In a list of what is not judged, what was judged here is gone from the server's list, though still shown.
    if (this.narrowed()) await settled();
    const start = window * WINDOW - (this.narrowed() ? this.leftBehind(window * WINDOW) : 0);
    // The answer may be older than what was judged here before and meanwhile.
    const newer = unsavedRows();
    const hear = (event) => newer.push(...event.detail);
    verdicts.addEventListener("rows", hear);
    const answer = await get("api/list", { ...this.params, start, count: WINDOW }).finally(() => verdicts.removeEventListener("rows", hear));
    const gone = this.narrowed() ? this.leftBehind(Infinity) : 0;
    const total = answer.total + gone;
    const moved = this.known && total !== this.total;
    this.total = total;
    this.left = answer.left;
    this.which = answer.which;
    this.known = true;
    this.put(window * WINDOW, answer.rows);
    this.patch(newer);
    this.tell(moved || window === 0 ? "size" : "rows");
  }

  /** What the list holds for the server just now, and whether that is what the page shows. */
  async now() {
    await settled();
    const { total, which } = await get("api/list", { ...this.params, count: 1 });
    return { total, which, same: which === this.which };
  }

  narrowed() {
    return Boolean(this.params.verdict) || this.params.queue === "judged";
  }

  listed() {
    return this.total - (this.narrowed() ? this.leftBehind(Infinity) : 0);
  }

  leftBehind(before) {
    let count = 0;
    for (const [place, row] of this.rows) if (place < before && !this.belongs(row)) count++;
    return count;
  }

  belongs(row) {
    if (this.params.verdict === "none") return !row.verdict;
    return this.params.verdict ? row.verdict === this.params.verdict : Boolean(row.verdict);
  }

  /** Drop the windows that were looked at longest ago: memory stays small, however far one scrolls. */
  forget() {
    if (this.narrowed()) return;
    for (const window of this.asked.keys()) {
      if (this.asked.size <= KEPT) return;
      this.asked.delete(window);
      for (let place = window * WINDOW; place < (window + 1) * WINDOW; place++) {
        const row = this.rows.get(place);
        if (row && this.places.get(row.id) === place) this.places.delete(row.id);
        this.rows.delete(place);
      }
    }
  }

  /** Somebody else changed the store: read again what is shown, and what is not shown when it is needed. */
  again(from, to) {
    if (this.narrowed()) return Promise.resolve();
    const first = Math.floor(from / WINDOW);
    const last = Math.floor(Math.max(from, Math.min(to, this.total - 1)) / WINDOW);
    for (const window of [...this.asked.keys()]) if (window < first || window > last) this.asked.delete(window);
    const fetches = [];
    for (let window = first; window <= last; window++) fetches.push(this.fetch(window, true));
    return Promise.all(fetches);
  }
}

/** Rows that a page has in its hands: what a lasso holds, or what a query gave. */
export class GivenList extends Rows {
  constructor(rows, title) {
    super();
    this.title = title;
    this.known = true;
    this.total = rows.length;
    this.left = rows.filter((row) => !row.verdict).length;
    this.put(0, rows);
  }

  need() {
    return Promise.resolve();
  }

  now() {
    return Promise.resolve({ total: this.total, which: "", same: true });
  }

  load(place) {
    return Promise.resolve(this.rows.get(place));
  }

  again() {
    return Promise.resolve();
  }
}
