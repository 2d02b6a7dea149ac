// Ask: a query in SQL with the views beside it, and pictures found by words.

import { get, post } from "./api.js";
import { h, isNumber, number, pictures, plural, visible } from "./dom.js";
import { Grid } from "./grid.js";
import { GivenList } from "./lists.js";
import { noteAddress } from "./place.js";
import { handOver } from "./review.js";
import { state } from "./state.js";
import { table } from "./table.js";

const EXAMPLES = [
  ["what is out, and why", "select rule, count(*) as images\nfrom exclusions\ngroup by rule\norder by images desc"],
  ["the largest files", "select image_id, label, bytes\nfrom images\norder by bytes desc\nlimit 60"],
  ["suspects nobody has judged", "select rank, image_id, label, suggested, sentence\nfrom suspects\nwhere verdict is null\nlimit 60"],
];

export class Ask {
  constructor() {
    const key = (event) => this.key(event);
    this.text = h("textarea", { "aria-label": "SQL", spellcheck: "false", autocapitalize: "off", rows: "5", onkeydown: key }, EXAMPLES[0][1]);
    this.run = h("button", { type: "button", class: "primary", onclick: () => this.go(), "aria-keyshortcuts": "Control+Enter" }, "Run");
    this.words = h("input", { type: "search", "aria-label": "What the picture shows", placeholder: "Find pictures by words, such as: a red bird on a branch" });
    const find = (event) => { event.preventDefault(); this.find(); };
    this.search = h("form", { hidden: true, onsubmit: find }, this.words, h("button", { type: "submit" }, "Find pictures"));
    this.count = h("p", { class: "count", role: "status" }, "The result comes here. A query can only read, and only this store.");
    this.judge = h("button", { type: "button", hidden: true, onclick: () => this.review() }, "Judge these");
    this.other = h("button", { type: "button", hidden: true, onclick: () => this.turn() });
    this.body = h("div", { class: "scroll" });
    this.grid = new Grid({ name: "Result", open: (row, place) => this.review(place) });
    this.grid.size = 150;
    this.views = h("aside", { class: "views", "aria-label": "Views", tabindex: "0" }, h("h2", {}, "What can be asked"));
    this.element = h("div", { class: "asks" }, this.question(), this.views);
    this.grid.box.hidden = true;
    this.keys = { other: (event, name) => this.move(name) };
  }

  question() {
    const example = ([name, sql]) => h("button", { type: "button", onclick: () => { this.text.value = sql; this.go(); } }, name);
    const hint = h("span", { class: "soft" }, h("kbd", {}, "Ctrl"), " + ", h("kbd", {}, "Enter"));
    const under = h("div", { class: "line" }, h("div", { class: "examples" }, EXAMPLES.map(example)), h("div", { class: "picks" }, hint, this.run));
    const header = h("header", {}, h("h1", {}, "Ask"), this.search, this.text, under);
    const line = h("div", { class: "line" }, this.count, h("div", { class: "picks" }, this.other, this.judge));
    const result = h("div", { class: "result" }, line, this.body, this.grid.box);
    return h("section", { class: "question", "aria-label": "Question" }, header, result);
  }

  async enter(params) {
    this.search.hidden = !state.has_text;
    this.grid.measure();
    if (!this.known) {
      this.known = true;
      const failed = (error) => this.views.append(h("p", {}, error.message));
      get("api/views").then(({ views }) => this.views.append(...views.map((view) => this.view(view))), failed);
    }
    if (params.sql && params.sql !== this.asked) {
      this.text.value = params.sql;
      await this.go();
    } else if (params.find && params.find !== this.asked) {
      this.words.value = params.find;
      await this.find();
    }
  }

  view({ name, about, columns }) {
    const insert = (word) => () => {
      this.text.setRangeText(word, this.text.selectionStart, this.text.selectionEnd, "end");
      this.text.focus();
    };
    const item = (column) => {
      const [word, ...type] = column.split(" ");
      const kind = h("span", {}, type.join(" ").toLowerCase());
      return h("li", {}, h("button", { type: "button", title: `Put ${word} into the query`, onclick: insert(word) }, word, kind));
    };
    return h("details", {}, h("summary", {}, name), h("p", {}, about), h("ul", {}, columns.map(item)));
  }

  key(event) {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    this.go();
  }

  /** Run the query. The address names it, so that it can be linked. */
  async go() {
    const sql = this.text.value.trim();
    if (!sql) return;
    this.asked = sql;
    noteAddress(`#/ask?${new URLSearchParams({ sql })}`);
    await this.wait(this.run, () => post("api/ask", { sql }), (answer) => {
      this.answer = answer;
      const rows = plural(answer.total, "row");
      const found = answer.truncated ? `The first ${number(answer.rows.length)} of ${rows}` : rows;
      this.count.textContent = `${found} in ${answer.seconds.toFixed(2)} s`;
      this.rows = answer.images ?? null;
      this.title = "Pictures of a query";
      this.show(Boolean(this.rows?.length));
    });
  }

  async find() {
    const text = this.words.value.trim();
    if (!text) return;
    this.asked = text;
    noteAddress(`#/ask?${new URLSearchParams({ find: text })}`);
    await this.wait(this.search.lastChild, () => get("api/search", { text }), ({ rows }) => {
      this.answer = null;
      this.rows = rows;
      this.title = `Pictures like “${text}”`;
      this.count.textContent = `${pictures(rows.length)} most like “${text}”, the most alike first`;
      this.show(true);
    });
  }

  /** Ask, and show what is answered, unless something else was asked meanwhile. */
  async wait(button, ask, done) {
    const mine = Symbol("question");
    this.latest = mine;
    button.disabled = true;
    this.count.classList.remove("problem");
    this.count.textContent = "Asking…";
    try {
      const answer = await ask();
      if (this.latest === mine) done(answer);
    } catch (error) {
      if (this.latest !== mine) return;
      this.rows = this.answer = null;
      this.count.textContent = visible(error.message);
      this.count.classList.add("problem");
      this.show(false);
    } finally {
      button.disabled = false;
    }
  }

  /** The result as a grid, or as a table. */
  show(asGrid) {
    this.asGrid = asGrid;
    this.grid.box.hidden = !asGrid;
    this.body.hidden = asGrid;
    this.judge.hidden = !this.rows?.length;
    this.other.hidden = !(this.rows?.length && this.answer);
    this.other.textContent = asGrid ? "As a table" : "As pictures";
    if (asGrid) {
      this.grid.list?.close();
      this.grid.show(new GivenList(this.rows, this.title), 0);
    } else this.body.replaceChildren(...(this.answer ? [this.table()] : []));
  }

  table() {
    const rows = this.answer.rows.map((row) => Object.fromEntries(row.map((value, place) => [place, value])));
    const column = ({ name, type }, place) => ({ key: place, name, about: type, number: NUMBERS.test(type), cell: (row) => cell(row[place]) });
    const columns = this.answer.columns.map(column);
    return table("Result", columns, rows);
  }

  turn() {
    this.show(!this.asGrid);
  }

  review(at = 0) {
    location.hash = handOver(this.rows, this.title, at);
  }

  move(name) {
    if (this.grid.box.hidden || !this.grid.element.contains(document.activeElement)) return false;
    if (name === "Enter" || name === " ") { this.review(this.grid.cursor); return true; }
    const place = this.grid.target(name.replace("Shift+", ""));
    if (place !== null) this.grid.select(place);
    return place !== null;
  }
}

const NUMBERS = /^(u?int\d+|halffloat|float|double|decimal)/; // as Arrow names types

function cell(value) {
  if (value === null || value === undefined) return "–";
  if (isNumber(value)) return Number.isInteger(value) ? number(value) : String(Number(value.toPrecision(5)));
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
