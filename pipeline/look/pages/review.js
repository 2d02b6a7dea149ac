// Review: a queue of pictures, one of them explained, and a key for each judgement.

import { address, connection } from "./api.js";
import { Aside } from "./aside.js";
import { Big, stackAt } from "./big.js";
import { Detail, forget, prepare } from "./detail.js";
import { dialog, h, number, pictures, say, verdictWord } from "./dom.js";
import { Grid } from "./grid.js";
import { judge, judgeList, verdicts } from "./judge.js";
import { GivenList, ServerList } from "./lists.js";
import { noteAddress } from "./place.js";
import { choose } from "./relabel.js";
import { changes, state } from "./state.js";
import { Toolbar } from "./toolbar.js";

const NARROWING = ["queue", "label", "split", "rule", "text", "verdict", "sort", "run", "evaluation", "predicted", "a", "b", "which"];
const BY_THE_MODEL = ["misclassified", "cell", "compare"];
const BESIDE = {}; // of no list
const AHEAD = 60;
const UNREAD = -2;
const LONGEST_SEARCH = 50_000;
const WORDS = { keep: "Keep", drop: "Drop", relabel: "Relabel", unset: "Take back the verdicts on" };
const FILTERS = {
  label: (label) => `class ${label}`, split: (split) => `split ${split}`, rule: (rule) => `out by ${rule}`,
  text: (text) => `“${text}” in id, path or class`, verdict: (verdict) => verdictWord(verdict === "none" ? null : verdict),
};

const FILTERED = ["label", "text", "verdict", "split", "rule"]; // of all filters, those that "Clear filters" takes away

const ALWAYS = ["all", "judged", "cell", "compare"];

let given = null;

/** Whether there is such a list: another plan has other queues. */
function isThere(queue) {
  if (queue === "given") return given !== null;
  return ALWAYS.includes(queue) || state.queues.some(({ key }) => key === queue);
}

/** Have rows that another page found ready to be judged, and say where. */
export function handOver(rows, title, at = 0) {
  given?.close();
  given = new GivenList(rows, title);
  return address("#/review", { queue: "given", at: at || "" });
}

export class Review {
  constructor() {
    this.aside = new Aside();
    this.grid = new Grid({ name: "Pictures of this list", select: (place) => this.moved(place), open: () => this.large() });
    this.grid.size = Number(localStorage.getItem("size")) || 168;
    this.toolbar = new Toolbar({
      narrow: (change) => this.go({ ...this.params, ...change }),
      resize: (size) => { localStorage.setItem("size", size); this.grid.resize(size); },
      everything: () => { this.grid.selectAll(); this.grid.element.focus(); },
      size: this.grid.size,
    });
    this.detail = new Detail({ peek: (row) => this.peek(row), act: (verdict) => this.act(verdict) });
    this.element = h("div", { class: "review" }, this.aside.element,
      h("section", { class: "middle", "aria-label": "The list" }, this.toolbar.element, this.grid.box), this.detail.element);
    this.peeked = null;
    this.turn = Promise.resolve();
    changes.addEventListener("state", () => this.paint());
    changes.addEventListener("moved", () => this.followed());
    verdicts.addEventListener("rows", (event) => this.patched(event.detail));
    verdicts.addEventListener("saved", (event) => this.saved(event.detail));
    connection.addEventListener("here", () => this.again());
    this.keys = this.keyMap();
  }

  leave() {
    clearTimeout(this.later);
  }

  /** The store has changed: read again what is shown, or all of it when this page is shown next. */
  followed() {
    if (!this.element.isConnected) {
      forget();
      this.key = null;
      return;
    }
    const read = this.list?.again(this.grid.first ?? 0, this.grid.end ?? 0);
    Promise.resolve(read).then(() => this.detail.followed());
  }

  /** The server is back: fetch what did not come. */
  again() {
    this.grid.repaint();
    this.detail.again();
  }

  get title() {
    return this.heading();
  }

  keyMap() {
    const move = (event, name) => {
      const place = this.grid.target(name.replace("Shift+", ""));
      if (place === null || event.ctrlKey || event.metaKey) return false;
      this.grid.select(place, event.shiftKey);
      return true;
    };
    return {
      k: () => this.act("keep"), d: () => this.act("drop"), u: () => this.act("unset"), r: () => this.act("relabel"),
      o: () => this.onlyThis(), n: () => this.advance(true), " ": () => this.large(), Enter: () => this.large(),
      "Ctrl+a": () => this.grid.selectAll(), Escape: () => this.escape(),
      "/": () => this.toolbar.text.focus(), other: move,
    };
  }

  /** Show the list that an address names. */
  async enter(params) {
    const first = state.queues[0]?.key ?? "all";
    const wanted = { queue: first };
    for (const name of NARROWING) if (params[name]) wanted[name] = params[name];
    if (!isThere(wanted.queue)) wanted.queue = first;
    const key = JSON.stringify(wanted);
    this.params = wanted;
    this.where = { queue: wanted.queue, predicted: wanted.queue === "cell" ? wanted.predicted : "" };
    if (key === this.key && (wanted.queue !== "given" || this.list === given)) return this.resume(Number(params.at) || 0);
    this.key = key;
    clearTimeout(this.later);
    if (this.list !== given) this.list?.close();
    const list = wanted.queue === "given" ? given : new ServerList(wanted);
    this.list = list;
    this.peek(null);
    this.detail.show(null);
    list.addEventListener("failed", (event) => say(event.detail.message));
    for (const name of ["rows", "size"]) list.addEventListener(name, () => this.listed(list));
    this.grid.show(list, 0);
    this.paint();
    const at = Number(params.at) || 0;
    await list.load(at);
    if (this.list !== list) return;
    this.grid.show(list, at || (await this.firstLeft(list)));
    this.moved(this.grid.cursor);
    this.grid.element.focus({ preventScroll: true });
  }

  /** Show another list: an address of its own, so that Back leads to the one before. */
  go(params) {
    location.hash = address("#/review", params);
  }

  resume(at) {
    this.grid.measure();
    if (at && at !== this.grid.cursor) this.grid.select(at);
    this.grid.into(this.grid.cursor, true);
    this.grid.element.focus({ preventScroll: true });
    this.paint();
  }

  async firstLeft(list) {
    return list.left ? Math.max(0, await this.nextLeft(list, -1)) : 0;
  }

  /** The first place after another that nobody has judged, or -1; UNREAD if the list could not be read so far. */
  async nextLeft(list, after) {
    for (let place = after + 1; place < Math.min(list.total, after + LONGEST_SEARCH); place++) {
      const row = list.row(place) ?? (await list.load(place));
      if (!row) return UNREAD;
      if (!row.verdict && row.content !== null) return place;
    }
    return -1;
  }

  heading() {
    const { queue, label, predicted, which } = this.params ?? {};
    if (queue === "given") return given.title;
    if (queue === "cell") return label === predicted ? `${label}, found right` : `${label}, taken for ${predicted}`;
    if (queue === "compare") {
      const [a, b] = [this.params.a, this.params.b].map((run) => state.runs.find((one) => one.run === run)?.name ?? "a run");
      const words = { only_a: `Right in ${a}, wrong in ${b}`, only_b: `Right in ${b}, wrong in ${a}`, neither: `Wrong in ${a} and in ${b}` };
      return words[which] ?? "Two runs";
    }
    return this.queue()?.title ?? "Review";
  }

  queue() {
    return state.queues.find(({ key }) => key === this.params?.queue);
  }

  paint() {
    if (!this.params || !state) return;
    this.aside.paint(state, this.params);
    this.toolbar.paint(this.params, this.queue(), state, this.heading());
    this.grid.element.classList.toggle("as-judged", this.params.queue === "judged");
    this.paintEmpty();
    this.paintScope();
  }

  paintEmpty() {
    const isOfCell = (name) => name === "label" && this.params.queue === "cell";
    const filters = FILTERED.filter((name) => this.params[name] && !isOfCell(name));
    const clear = () => this.go({ ...this.params, ...Object.fromEntries(filters.map((name) => [name, ""])) });
    this.grid.empty.replaceChildren(...(filters.length
      ? [h("p", {}, "No picture of this list is left by the filters."), h("button", { type: "button", onclick: clear }, "Clear filters")]
      : [h("p", {}, "This list is empty.")]));
  }

  listed(list) {
    if (list !== this.list) return;
    this.paintScope();
    const row = list.row(this.grid.cursor);
    if (row && !this.peeked) this.detail.show(row, this.where);
  }

  paintScope() {
    const count = this.list?.total ? this.grid.count() : 0;
    if (!this.list) return;
    this.toolbar.paintCount(this.list, count);
    this.detail.paintScope(this.peeked ? 1 : count, this.grid.all);
    this.paintWarning();
  }

  paintWarning() {
    const row = this.peeked ?? this.list.row(this.grid.cursor);
    const flatters = BY_THE_MODEL.includes(this.params.queue) && row?.split && !["train", "val"].includes(row.split);
    const so = state.judged.test_after_error;
    this.detail.warning.hidden = !flatters;
    const judged = so ? `${number(so)} ${so === 1 ? "has" : "have"}` : "None has";
    const why = `This is a ${row?.split} picture, and you see it because a run got it wrong.`;
    const warning = "If only its errors are judged, its score looks better than it is.";
    if (flatters) this.detail.warning.textContent = `${why} ${warning} ${judged} been judged this way${so ? "" : " yet"}.`;
  }

  moved(place) {
    this.peek(null);
    const row = this.list.row(place);
    if (row) this.detail.show(row, this.where);
    else this.list.load(place);
    // Whoever judges fast should not wait for the next window.
    this.list.need(place, place + AHEAD);
    this.paintScope();
    this.big?.show(place);
    clearTimeout(this.later);
    this.later = setTimeout(() => {
      prepare(this.list.row(place + 1), this.where);
      noteAddress(address("#/review", { ...this.params, at: this.list.narrowed() ? "" : place || "" }));
    }, 200);
  }

  /** Show a picture that stands beside the one in the list; null for the list's own. */
  peek(row) {
    this.peeked = row;
    const { back } = this.detail;
    back.hidden = !row;
    if (!row) return;
    const button = h("button", { type: "button", onclick: () => this.escape() }, "← Back to the list");
    back.replaceChildren(button, h("span", { class: "soft" }, " A picture beside the list. The keys judge this one."));
    this.detail.show(row, BESIDE);
    this.paintScope();
  }

  escape() {
    if (this.peeked) {
      this.peek(null);
      this.moved(this.grid.cursor);
    } else this.grid.select(this.grid.cursor);
  }

  /** Judge what is selected. One act after the other: the next key waits until the cursor has moved on. */
  act(verdict) {
    this.turn = this.turn.then(() => this.actNow(verdict)).catch((error) => say(error.message));
  }

  async actNow(verdict) {
    const label = verdict === "relabel" ? await this.label() : null;
    if (verdict === "relabel" && !label) return;
    if (this.grid.all && !this.peeked && this.list.total > 1) return this.actOnAll(verdict, label);
    const rows = this.peeked ? [this.peeked] : await this.chosen();
    const able = rows.filter((row) => row && row.content !== null);
    if (!rows.some(Boolean)) return undefined;
    if (!able.length) return say("A file that gave no picture cannot be judged.");
    judge(able, verdict, label, this.params.queue);
    if (able.length > 1) say(`${WORDS[verdict]} ${pictures(able.length)}: done. Ctrl-Z undoes it.`);
    if (!this.peeked && verdict !== "unset") await this.advance();
  }

  async chosen() {
    const [from, to] = this.grid.range();
    await this.list.need(from, to);
    const rows = [];
    for (let place = from; place <= to; place++) rows.push(this.list.row(place));
    return rows;
  }

  async label() {
    this.big?.close();
    const row = this.peeked ?? this.list.row(this.grid.cursor);
    if (!row || row.content === null) return null;
    const current = this.grid.count() > 1 ? null : row.label;
    const label = await choose(this.detail.slot, { suggested: this.suggestedFor(row), current, labels: state.labels });
    this.grid.element.focus({ preventScroll: true });
    return label;
  }

  /** The class that Enter takes for a picture: what the run took it for in a cell of the matrix, else what is suggested. */
  suggestedFor(row) {
    const { queue, predicted } = this.params;
    const suggested = queue === "cell" && !this.peeked ? predicted : row.suggested;
    return suggested === row.label ? null : suggested;
  }

  async actOnAll(verdict, label) {
    const now = await this.list.now();
    if (!now.same) {
      this.key = null;
      await this.enter(this.params);
      say("The list has changed. Look at it again, then choose all of it.");
      return;
    }
    const count = now.total;
    const ofClass = this.params.label && this.params.queue !== "cell" ? `, class ${this.params.label}` : "";
    const words = `${WORDS[verdict]} all ${number(count)} pictures of “${this.heading()}”${ofClass}${label ? ` as ${label}` : ""}?`;
    const go = h("button", { type: "button", class: "primary" }, `${verdict === "unset" ? "Unset" : WORDS[verdict]} ${number(count)}`);
    const stay = h("button", { type: "button", onclick: () => box.close() }, "Cancel");
    const filters = Object.entries(FILTERS).filter(([name]) => this.params[name]).map(([name, say]) => say(this.params[name]));
    const narrowed = filters.length ? `Narrowed to ${filters.join(", ")}.` : "No filters are set.";
    const about = h("p", { class: "soft" }, `${narrowed} Ctrl-Z undoes it as one act.`);
    const box = dialog("All in this list", h("h2", {}, words), about, h("p", { class: "buttons" }, stay, go));
    go.addEventListener("click", async () => {
      box.close();
      await this.sendAll(verdict, label, now).catch((error) => say(error.message));
    });
    go.focus();
  }

  async sendAll(verdict, label, now) {
    if (this.list instanceof GivenList) {
      judge([...this.list.rows.values()].filter((row) => row.content !== null), verdict, label, "given");
      return this.escape();
    }
    try {
      const answer = await judgeList(this.params, verdict, label, now);
      say(`${pictures(answer.judged)} judged. Ctrl-Z undoes it.`);
    } finally {
      // What was judged may belong to another list now, so this one is read anew.
      this.key = null;
      await this.enter({ ...this.params, at: this.list.narrowed() ? "" : this.grid.cursor });
    }
    return undefined;
  }

  /** Of a stack, keep the picture at the cursor and drop the others. */
  onlyThis() {
    const stack = stackAt(this.list, this.grid.cursor);
    if (stack.length < 2) return;
    judge(stack.filter(({ place }) => place !== this.grid.cursor).map(({ row }) => row), "drop", null, this.params.queue);
    judge([this.list.row(this.grid.cursor)], "keep", null, this.params.queue);
    this.grid.cursor = stack.at(-1).place;
    this.advance();
  }

  /** Go to the next picture that nobody has judged; with `round`, from the start again after the end. */
  async advance(round = false) {
    const list = this.list;
    const from = this.grid.range()[1];
    const next = await this.nextLeft(list, from);
    const earlier = next === -1 ? await this.nextLeft(list, -1) : -1;
    if (list !== this.list) return;
    if (next >= 0) this.grid.select(next);
    else if (next === UNREAD) say("The next pictures could not be read. This page tries again when the server answers.");
    else if (earlier >= 0 && round) this.grid.select(earlier);
    else {
      this.grid.select(from);
      say(earlier >= 0 ? "That was the last one. Some before it are not judged: N goes to the first of them." : "Everything in this list is judged.");
    }
  }

  large() {
    if (!this.list.row(this.grid.cursor)?.content) return;
    const close = () => this.big.close();
    const keys = { ...this.keys, Escape: close, " ": close, Enter: close, "/": undefined, "Ctrl+a": undefined };
    const closed = () => {
      this.big = null;
      this.grid.element.focus({ preventScroll: true });
    };
    this.big = new Big({ list: this.list, place: this.grid.cursor, keys, select: (place) => this.grid.select(place), closed });
  }

  patched(rows) {
    const shown = this.detail.row;
    const next = shown && rows.find((row) => row.id === shown.id);
    // The list changes its own rows; a picture beside it is nobody else's.
    if (next && shown === this.peeked) {
      this.detail.show(Object.assign(shown, { verdict: next.verdict, label: next.label, given: next.given }));
    }
    if (this.big) this.big.show(this.grid.cursor);
  }

  /** Verdicts are saved. What was taken back is shown again. */
  saved({ act, answer }) {
    if (answer.rows?.length < (answer.judged ?? answer.undone ?? 0)) forget();
    this.detail.judged(answer.rows ?? []);
    if (act.path !== "api/undo") return;
    const place = answer.rows?.length ? this.list?.place(answer.rows[0].id) ?? -1 : -1;
    if (place >= 0) this.grid.select(place);
    if (answer.undone > (answer.rows?.length ?? 0)) this.list?.again(this.grid.first, this.grid.end);
  }

  /** A replay has changed what is in and out. */
  replayed() {
    forget();
    this.key = null;
  }
}
