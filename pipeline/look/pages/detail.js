// One picture explained: large, with why it is in or out, beside what it should resemble.

import { get, picture, thumb } from "./api.js";
import { h, number, stateOf, verdictWord, visible } from "./dom.js";

const FRESH = 15000;
const SOON = 90;
const kept = new Map();

const keyOf = (row, where) => JSON.stringify([row.id, where.queue, where.predicted]);

/** What is known of an image in a list; asked for once in a while, and early for the one that comes next. */
function explain(row, where) {
  const key = keyOf(row, where);
  const known = kept.get(key);
  if (known && performance.now() - known.at < FRESH) return known.answer;
  const { queue, predicted } = where;
  const answer = get("api/image", { id: row.id, queue, predicted });
  const mine = { answer, at: performance.now() };
  kept.set(key, mine);
  answer.then((value) => { mine.value = value; }, () => kept.get(key) === mine && kept.delete(key));
  if (kept.size > 60) kept.delete(kept.keys().next().value);
  return answer;
}

/** Have the next picture ready before it is asked for. */
export function prepare(row, where) {
  if (!row?.content) return;
  explain(row, where).catch(() => {});
  const image = new Image();
  image.fetchPriority = "low";
  image.src = picture(row);
}

/** Forget what was explained: of these images and their copies, or of all where the whole store has changed. */
export function forget(rows = null) {
  if (!rows) return kept.clear();
  const [ids, contents] = [new Set(rows.map((row) => row.id)), new Set(rows.map((row) => row.content))];
  for (const [key, known] of kept) {
    if (ids.has(JSON.parse(key)[0]) || contents.has(known.value?.row.content)) kept.delete(key);
  }
  return undefined;
}

export class Detail {
  /** `peek(row)` is called when one of the small pictures is chosen. */
  constructor({ peek, act }) {
    this.peek = peek;
    this.row = null;
    this.where = {};
    this.last = 0;
    this.headline = h("h2", { class: "headline" });
    this.image = h("img", { class: "large", alt: "" });
    this.frame = h("div", { class: "frame" }, this.image);
    this.labels = h("p", { class: "labels" });
    this.scope = h("p", { class: "scope", hidden: true });
    this.buttons = ["keep", "drop", "relabel", "unset"].map((verdict) => button(verdict, act));
    this.actions = h("div", { class: "actions", role: "group", "aria-label": "Judge" }, this.buttons);
    this.slot = h("div", { class: "slot" });
    this.warning = h("p", { class: "warning", hidden: true });
    this.more = h("div", { class: "more" });
    this.back = h("p", { class: "back", hidden: true });
    this.element = h("section", { class: "detail", "aria-label": "The picture", tabindex: "0" }, this.back, this.headline,
      this.frame, this.labels, this.scope, this.actions, this.slot, this.warning, this.more);
  }

  /** Show an image at once as far as its row says it, and the rest when it has come. `where`: the list in which it is looked at. */
  show(row, where = this.where) {
    const same = row && this.row?.id === row.id && this.where === where;
    this.row = row;
    this.where = where;
    this.element.hidden = !row;
    if (!row) return;
    this.paintState();
    if (same) return;
    this.element.scrollTop = 0;
    this.slot.replaceChildren();
    // While a key is held down or pictures are judged fast, nothing large is asked for: verdicts come first.
    this.pause = performance.now() - this.last > 2 * SOON ? 0 : SOON;
    this.last = performance.now();
    this.paintPicture(row);
    const known = kept.get(keyOf(row, where))?.value;
    if (known) this.paint(known);
    else this.wait(row);
  }

  wait(row) {
    this.headline.textContent = row.content === null ? "This file gave no picture." : visible(sentence(row.note || row.label || ""));
    this.more.classList.add("old");
    this.more.setAttribute("aria-busy", "true");
    clearTimeout(this.timer);
    if (row.content === null) return this.paintFailure(row);
    this.timer = setTimeout(() => this.fetch(row), this.pause);
  }

  async fetch(row) {
    const answered = explain(row, this.where);
    this.answered = answered;
    try {
      const answer = await answered;
      if (this.answered === answered && this.row?.id === row.id) this.paint(answer);
    } catch (error) {
      if (this.answered !== answered || this.row?.id !== row.id) return;
      this.missing = true;
      this.more.classList.remove("old");
      this.more.replaceChildren(h("p", { class: "problem" }, error.message));
    }
  }

  /** Verdicts are saved: what was said of these images, and of what is shown, is said anew. */
  judged(rows) {
    forget(rows);
    if (this.row?.content && rows.some((row) => row.id === this.row.id || row.content === this.row.content)) this.fetch(this.row);
  }

  /** The store has changed: explain the picture anew if it is not as it was explained. */
  followed() {
    forget();
    const [row, told] = [this.row, this.told];
    if (row?.content && told?.id === row.id && ["verdict", "label", "split", "rule"].some((name) => row[name] !== told[name])) this.fetch(row);
  }

  /** Fetch again what did not come. */
  again() {
    if (this.missing && this.row) this.fetch(this.row);
  }

  paintPicture(row) {
    this.frame.hidden = row.content === null;
    if (row.content === null) return;
    this.image.alt = row.label ? visible(`The picture, filed as ${row.label}`) : "The picture";
    this.image.src = thumb(row);
    this.stop();
    this.later = setTimeout(() => this.enlarge(row), this.pause);
  }

  /** Put the full picture in the place of its thumbnail once it is here. */
  enlarge(row) {
    const full = new Image();
    this.full = full;
    full.src = picture(row);
    full.decode().then(() => {
      if (this.full !== full) return;
      this.image.src = full.src;
      this.full = null;
    }, () => {});
  }

  /** A picture that is no longer looked at is not waited for. */
  stop() {
    clearTimeout(this.later);
    if (this.full) this.full.src = "";
    this.full = null;
  }

  /** The words about its class and its verdict, which change when it is judged. */
  paintState() {
    const row = this.row;
    const parts = [h("strong", {}, row.label ?? "no class")];
    if (row.given) parts.push(h("span", { class: "soft" }, `the catalogue says ${row.given}`));
    if (row.split) parts.push(h("span", { class: "chip" }, row.split));
    if (row.rule) parts.push(h("span", { class: "chip" }, `out: ${row.rule}`));
    parts.push(h("span", { class: `chip verdict ${row.verdict ?? "none"}` }, row.verdict ? `${stateOf(row)} by you` : verdictWord(null)));
    this.labels.replaceChildren(...(row.content === null ? [] : parts));
    for (const one of this.buttons) one.setAttribute("aria-pressed", String(one.value === row.verdict));
    this.actions.hidden = row.content === null;
  }

  paint(answer) {
    if (this.row.id !== answer.row.id) return;
    const { row } = answer;
    this.told = row;
    this.missing = false;
    this.headline.textContent = visible(answer.headline);
    this.more.classList.remove("old");
    this.more.removeAttribute("aria-busy");
    const compare = h("div", { class: "compare" });
    if (answer.typical_suggested?.length) compare.append(this.strip(`Typical ${row.suggested}`, answer.typical_suggested, 6));
    if (answer.typical?.length) compare.append(this.strip(`Typical ${row.label}`, answer.typical, 6));
    const nearest = answer.nearest?.length ? this.strip("Nearest to it", answer.nearest, 12, true) : null;
    const facts = [["path", answer.path], ["id", row.id], ...answer.facts.filter(([name]) => name !== "path")];
    const told = h("details", { class: "facts", open: true }, h("summary", {}, "The file, and what the catalogue says of it"), definitions(facts));
    const all = h("details", { class: "facts" }, h("summary", {}, "All that coldframe knows of it"), list(answer.details, "told"));
    this.more.replaceChildren(list(answer.story, "story"), compare, ...(nearest ? [nearest] : []), told, all);
  }

  paintFailure(row) {
    this.more.classList.remove("old");
    this.more.removeAttribute("aria-busy");
    this.more.replaceChildren(h("ul", { class: "story" }, h("li", {}, row.note ?? "")), definitions([["path", row.path ?? ""], ["id", row.id]]));
  }

  strip(title, rows, most, named = false) {
    const one = (row) => {
      const label = row.label ?? "no class";
      const title = [label, stateOf(row)].filter(Boolean).join(", ");
      return h("button", { type: "button", class: "small", title, onclick: () => this.peek(row) },
        h("img", { src: thumb(row), alt: named ? "" : label, decoding: "async" }),
        named ? h("span", { class: row.label === this.row.label ? "same" : "other" }, label) : null);
    };
    return h("section", { class: `strip${named ? " named" : ""}` }, h("h3", {}, title), h("div", { class: "thumbs" }, rows.slice(0, most).map(one)));
  }

  /** Say how many pictures the next key acts on. */
  paintScope(count, all) {
    this.scope.hidden = count < 2;
    this.scope.textContent = all ? `All ${number(count)} in this list are selected.` : `${number(count)} pictures are selected: the keys act on all of them.`;
    this.actions.classList.toggle("many", count > 1);
    for (const one of this.buttons) one.querySelector("span").textContent = count > 1 ? `${WORDS[one.value]} ${number(count)}` : WORDS[one.value];
  }
}

const list = (lines, name) => h("ul", { class: name }, lines.map((text) => h("li", {}, text)));
const sentence = (words) => words && words[0].toUpperCase() + words.slice(1);

function definitions(facts) {
  return h("dl", {}, facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, String(value ?? "–"))]));
}

const WORDS = { keep: "Keep", drop: "Drop", relabel: "Relabel", unset: "Unset" };

function button(verdict, act) {
  const name = WORDS[verdict];
  return h("button", { type: "button", value: verdict, onclick: () => act(verdict), "aria-keyshortcuts": name[0] },
    h("kbd", { "aria-hidden": "true" }, name[0]), h("span", {}, name));
}
