// The map: every picture a point, those that are alike near each other. A lasso opens a grid of what it holds.

import { get, getFloats, thumb } from "./api.js";
import { h, number, pictures } from "./dom.js";
import { Grid } from "./grid.js";
import { verdicts } from "./judge.js";
import { GivenList } from "./lists.js";
import { Cloud } from "./cloud.js";
import { noteAddress } from "./place.js";
import { handOver } from "./review.js";
import { changes, state } from "./state.js";

const METHODS = { tsne: "neighbours together (t-SNE)", pca: "widest spread (PCA)" };
const COLOURS = { label: "class", split: "split", rule: "what takes it out", doubt: "doubt of its label" };
const ABOUT = "Each point is a picture. Pictures that look alike to the network lie near each other; distances across the map mean little.";
const AGAIN = 700;
const LEGEND = 12;

export class MapPage {
  constructor() {
    this.makeChoices();
    this.cloud = new Cloud({
      lasso: (places) => this.hold(places),
      hover: (place, x, y) => this.tip(place, x, y),
      open: (place) => this.hold([place]),
    });
    this.makeTools();
    this.wait = h("div", { class: "making", hidden: true });
    this.legend = h("div", { class: "legend", role: "group", "aria-label": "Legend" });
    this.hint = h("p", { class: "tip", hidden: true });
    this.makeSide();
    this.element = this.page();
    changes.addEventListener("moved", () => { this.old = true; });
    verdicts.addEventListener("rows", (event) => this.judged(event.detail));
    this.keys = this.keyMap();
  }

  makeChoices() {
    const options = (words, say = (word) => word) => Object.entries(words).map(([value, word]) => h("option", { value }, say(word)));
    this.set = h("select", { "aria-label": "Features", onchange: () => this.picked() });
    this.method = h("select", { "aria-label": "Arranged by", onchange: () => this.picked() }, options(METHODS));
    this.colour = h("select", { "aria-label": "Colour by", onchange: () => this.paintColours() }, options(COLOURS, (word) => `colour: ${word}`));
  }

  makeTools() {
    const lasso = () => this.lasso(!this.cloud.lassoing);
    const zoom = (name, words, factor) => h("button", { type: "button", "aria-label": words, onclick: () => this.cloud.zoom(factor) }, name);
    const plain = (words, act) => h("button", { type: "button", onclick: act }, words);
    const letter = h("kbd", { "aria-hidden": "true" }, "L");
    this.mode = h("button", { type: "button", "aria-pressed": "false", "aria-keyshortcuts": "L", onclick: lasso }, letter, " Lasso");
    this.tools = h("div", { class: "tools" }, this.mode, zoom("+", "Nearer", 1.5), zoom("−", "Farther", 1 / 1.5),
      plain("Whole map", () => this.cloud.home()), plain("Take all in view", () => this.hold(this.cloud.inView())));
  }

  makeSide() {
    this.held = h("p", { class: "count" });
    this.grid = new Grid({ name: "Pictures of the lasso", open: (row, place) => this.review(place) });
    this.grid.size = 120;
    const judge = h("button", { type: "button", class: "primary", onclick: () => this.review() }, "Judge these");
    const close = h("button", { type: "button", onclick: () => this.hold([]) }, "Close");
    const line = h("div", { class: "line" }, this.held, h("div", { class: "picks" }, judge, close));
    this.side = h("section", { class: "held", "aria-label": "What the lasso holds", hidden: true }, line, this.grid.box);
  }

  page() {
    const picks = h("div", { class: "picks" }, this.set, this.method, this.colour);
    const header = h("header", { class: "toolbar" }, h("div", { class: "line" }, h("h1", {}, "Map"), picks), h("p", { class: "about" }, ABOUT));
    const stage = h("div", { class: "stage" }, this.cloud.element, this.tools, this.legend, this.hint, this.wait);
    return h("div", { class: "mappage" }, header, stage, this.side);
  }

  keyMap() {
    return {
      l: () => this.lasso(!this.cloud.lassoing),
      "+": () => this.cloud.zoom(1.5), "=": () => this.cloud.zoom(1.5), "-": () => this.cloud.zoom(1 / 1.5), 0: () => this.cloud.home(),
      Escape: () => (this.cloud.lassoing ? this.lasso(false) : this.hold([])),
      other: (event, name) => this.move(name),
    };
  }

  async enter(params) {
    if (!state.feature_sets.length) {
      this.wait.hidden = false;
      this.wait.replaceChildren(h("p", {}, "There are no features yet. After coldframe embed, this page shows a map."));
      return;
    }
    if (!this.set.options.length) {
      this.set.replaceChildren(...state.feature_sets.map((set) => h("option", { value: set }, `features: ${set}`)));
      this.set.value = state.preferred_set;
    }
    this.set.value = state.feature_sets.includes(params.set) ? params.set : this.set.value || state.preferred_set;
    this.method.value = params.method in METHODS ? params.method : this.method.value;
    if (params.colour in COLOURS) this.colour.value = params.colour;
    this.cloud.resize();
    await this.read();
  }

  leave() {
    clearTimeout(this.timer);
    this.key = this.ready;
  }

  picked() {
    noteAddress(`#/map?${new URLSearchParams({ set: this.set.value, method: this.method.value, colour: this.colour.value })}`);
    this.read();
  }

  async read() {
    const wanted = { set: this.set.value, method: this.method.value };
    const key = JSON.stringify(wanted);
    if (key === this.ready && !this.old) return;
    this.key = key;
    clearTimeout(this.timer);
    try {
      const answer = await get("api/map", wanted);
      if (this.key !== key) return;
      if (answer.state !== "ready") {
        this.making(answer);
        this.timer = setTimeout(() => this.read(), AGAIN);
        return;
      }
      const [points, facts] = await Promise.all([getFloats("api/map/points", wanted), get("api/map/facts", { set: wanted.set })]);
      if (this.key !== key) return;
      this.old = false;
      this.ready = key;
      this.facts = facts;
      this.places = new Map(facts.ids.map((id, place) => [id, place]));
      this.wait.hidden = true;
      this.cloud.show(points);
      this.paintColours();
      this.hold([]);
    } catch (error) {
      this.wait.hidden = false;
      this.wait.replaceChildren(h("p", { class: "problem", role: "alert" }, error.message));
    }
  }

  /** Know what was judged since the map was read. */
  judged(rows) {
    if (!this.facts) return;
    const { facts } = this;
    for (const row of rows) {
      const place = this.places.get(row.id);
      if (place === undefined || !("verdict" in row)) continue;
      if (row.verdict && !facts.verdicts.includes(row.verdict)) facts.verdicts.push(row.verdict);
      facts.verdict[place] = facts.verdicts.indexOf(row.verdict);
    }
  }

  making({ stage, seconds }) {
    this.wait.hidden = false;
    const so = `${stage || "it begins"}, ${seconds} s so far`;
    const words = h("p", {}, `The map is being made: ${so}. It is kept, so this happens once.`);
    this.wait.replaceChildren(words, h("progress", { "aria-label": "The map is being made" }));
  }

  paintColours() {
    if (!this.facts) return;
    const by = this.colour.value;
    const { facts } = this;
    if (by === "doubt") {
      this.cloud.ramp(facts.doubt);
      this.paintRamp(facts.doubt);
      return;
    }
    const names = { label: facts.labels, split: facts.splits, rule: facts.rules }[by];
    const counts = new Array(names.length + 1).fill(0);
    for (const index of facts[by]) counts[index < 0 ? names.length : index]++;
    const order = names.map((_, index) => index).sort((a, b) => counts[b] - counts[a]);
    this.only = null;
    this.colours = this.cloud.paint(facts[by], order, by === "label" ? LEGEND : names.length);
    this.paintLegend(names, order, counts, { label: "no class", split: "in no split", rule: "in" }[by]);
  }

  paintLegend(names, order, counts, none) {
    const shown = order.slice(0, LEGEND);
    const one = (index, name, count) => {
      const swatch = h("span", { class: "swatch", "aria-hidden": "true" });
      swatch.style.background = this.colours(index);
      const highlight = (event) => this.highlight(index, event.currentTarget);
      const words = [h("span", {}, name), h("span", { class: "soft" }, number(count))];
      return h("button", { type: "button", "aria-pressed": "false", onclick: highlight }, swatch, words);
    };
    const rest = order.slice(LEGEND);
    const items = shown.map((index) => one(index, names[index], counts[index]));
    if (counts[names.length]) items.push(one(-1, none, counts[names.length]));
    if (rest.length) {
      const option = (index) => h("option", { value: String(index) }, `${names[index]} (${number(counts[index])})`);
      const highlight = () => this.highlight(more.value === "" ? null : Number(more.value), null);
      const more = h("select", { "aria-label": "Show one of the other classes", onchange: highlight },
        h("option", { value: "" }, `${number(rest.length)} others…`), rest.map(option));
      items.push(more);
    }
    this.legend.replaceChildren(...items);
  }

  highlight(index, button) {
    const off = index === null || button?.getAttribute("aria-pressed") === "true";
    for (const other of this.legend.querySelectorAll("button")) other.setAttribute("aria-pressed", "false");
    if (!off) button?.setAttribute("aria-pressed", "true");
    this.cloud.highlight(off ? null : index);
  }

  paintRamp(values) {
    const known = values.filter((value) => value !== null);
    const strip = h("span", { class: "ramp", "aria-hidden": "true" });
    const colours = [0, 0.25, 0.5, 0.75, 1].map((share) => this.cloud.rampColour(share));
    strip.style.background = `linear-gradient(90deg, ${colours.join(", ")})`;
    const none = h("p", {}, "No doubts are known: coldframe score label-doubt finds them.");
    this.legend.replaceChildren(...(known.length ? [h("p", {}, "trusted"), strip, h("p", {}, "doubted")] : [none]));
  }

  lasso(on) {
    this.cloud.lassoing = on;
    this.mode.setAttribute("aria-pressed", String(on));
    this.cloud.element.classList.toggle("lassoing", on);
  }

  move(name) {
    const step = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[name];
    if (!step || this.grid.element.contains(document.activeElement)) return this.moveInGrid(name);
    this.cloud.pan(step[0] * 60, step[1] * 60);
    return true;
  }

  moveInGrid(name) {
    if (!this.grid.element.contains(document.activeElement)) return false;
    if (name === "Enter" || name === " ") { this.review(this.grid.cursor); return true; }
    const place = this.grid.target(name);
    if (place !== null) this.grid.select(place);
    return place !== null;
  }

  /** Show what a lasso holds. */
  hold(places) {
    this.rows = places.map((place) => this.row(place));
    this.side.hidden = !places.length;
    this.element.classList.toggle("holding", places.length > 0);
    this.cloud.resize();
    this.cloud.mark(places);
    if (!places.length) return;
    this.lasso(false);
    this.held.textContent = `${pictures(places.length)} ${places.length === 1 ? "is" : "are"} held`;
    this.grid.list?.close();
    this.grid.show(new GivenList(this.rows, ""), 0);
  }

  /** A point as a row of a list. */
  row(place) {
    const { facts } = this;
    const named = (names, index) => names[index] ?? null;
    const [split, rule] = [named(facts.splits, facts.split[place]), named(facts.rules, facts.rule[place])];
    const note = rule ? `out by ${rule}` : split ? `in ${split}` : "";
    const label = named(facts.labels, facts.label[place]);
    const verdict = named(facts.verdicts, facts.verdict[place]);
    return { id: facts.ids[place], content: facts.contents[place], label, given: null, suggested: null, split, rule, verdict, note };
  }

  review(at = 0) {
    location.hash = handOver(this.rows, `${pictures(this.rows.length)} from the map`, at);
  }

  tip(place, x, y) {
    this.hint.hidden = place === null;
    if (place === null) return;
    if (this.tipped !== place) {
      this.tipped = place;
      const row = this.row(place);
      const words = [row.label ?? "no class", row.split, row.rule && `out: ${row.rule}`];
      this.hint.replaceChildren(h("img", { src: thumb(row), alt: "" }), h("span", {}, words.filter(Boolean).join(", ")));
    }
    const box = this.cloud.element.parentElement.getBoundingClientRect();
    this.hint.style.transform = `translate(${Math.min(x + 14, box.width - 190)}px, ${Math.min(y + 14, box.height - 190)}px)`;
  }
}
