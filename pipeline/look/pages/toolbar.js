// Over the grid: what the list is, how it is narrowed and sorted, and how large its pictures are.

import { h, number, pictures, plural, visible } from "./dom.js";

const VERDICTS = [["", "any verdict"], ["none", "not judged"], ["keep", "kept"], ["drop", "dropped"], ["relabel", "relabelled"]];
const SORTS = [["", "by queue"], ["label", "by class"], ["value", "by value"], ["id", "by id"]];

export class Toolbar {
  /** `narrow(params)` is called when a filter changes, `resize(px)` and `everything()` by their controls. */
  constructor({ narrow, resize, everything, size }) {
    this.title = h("h1", {});
    this.about = h("p", { class: "about" });
    this.count = h("p", { class: "count" });
    this.everything = h("button", { type: "button", onclick: everything, "aria-keyshortcuts": "Control+A" });
    this.clear = h("button", { type: "button", class: "chip", hidden: true, onclick: () => narrow({ label: "" }) });
    const find = () => narrow({ text: this.text.value.trim() });
    this.text = h("input", { type: "search", placeholder: "Find", "aria-label": "Find by id, path or class", onchange: find });
    this.selects = {};
    const select = (name, label) => {
      this.selects[name] = h("select", { "aria-label": label, onchange: (event) => narrow({ [name]: event.target.value }) });
      return this.selects[name];
    };
    const slider = h("input", {
      type: "range", min: "84", max: "320", step: "4", value: String(size), "aria-label": "Size of the pictures",
      oninput: (event) => resize(Number(event.target.value)),
    });
    const selects = [select("verdict", "Judged"), select("split", "Split"), select("rule", "Rule"), select("sort", "Sort")];
    this.filters = h("div", { class: "filters" }, this.text, selects);
    this.element = h("header", { class: "toolbar" },
      h("div", { class: "line" }, h("div", { class: "what" }, this.title, this.clear), h("div", { class: "size" }, slider)),
      this.about, this.filters, h("div", { class: "line" }, this.count, this.everything));
  }

  paint(params, queue, state, title) {
    this.title.textContent = visible(title);
    this.about.textContent = queue?.about ?? "";
    this.about.title = this.about.textContent; // where it is cut
    this.about.hidden = !this.about.textContent;
    this.clear.hidden = !params.label || params.queue === "cell";
    this.clear.textContent = visible(`${params.label} ✕`);
    this.clear.setAttribute("aria-label", visible(`Only ${params.label}: show every class`));
    this.filters.hidden = ["given", "failures"].includes(params.queue);
    if (document.activeElement !== this.text) this.text.value = params.text ?? "";
    const count = (name, images) => `${name} (${number(images)})`;
    this.fill("verdict", VERDICTS, params.verdict);
    this.fill("split", [["", "any split"], ...state.splits.map(({ split, images }) => [split, count(split, images)])], params.split);
    this.fill("rule", [["", "any rule"], ...state.rules.map(({ rule, images }) => [rule, count(`out by ${rule}`, images)])], params.rule);
    this.fill("sort", SORTS, params.sort);
  }

  fill(name, options, value = "") {
    const select = this.selects[name];
    const key = JSON.stringify([options, value]);
    if (select.key === key) return;
    select.key = key;
    select.replaceChildren(...options.map(([option, label]) => h("option", { value: option }, label)));
    select.value = value;
    select.classList.toggle("set", Boolean(value));
  }

  paintCount(list, selected) {
    const left = list.known ? list.left : 0;
    const files = list.params?.queue === "failures";
    const total = files ? plural(list.total, "file") : pictures(list.total);
    const parts = [list.known ? total : "Reading the list…"];
    if (list.known && list.total && !files) parts.push(left ? `${number(left)} not judged` : "all judged");
    if (selected > 1) parts.push(`${number(selected)} selected`);
    this.count.textContent = parts.join(" · ");
    this.everything.hidden = list.listed() < 2 || files;
    this.everything.textContent = `All ${number(list.listed())} in this list…`;
  }
}
