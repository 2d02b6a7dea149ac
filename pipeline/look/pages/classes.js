// Classes: how many pictures each has, how well each is told apart, and from which it is not.

import { address, get, thumb } from "./api.js";
import { h, isNumber, number, percent, pictures, plural } from "./dom.js";
import { Matrix } from "./matrix.js";
import { changes, state } from "./state.js";
import { table } from "./table.js";

const MOST_CONFUSED = 30;
const PAIRS = 12;

export class Classes {
  constructor() {
    this.run = h("select", { "aria-label": "Run", onchange: () => this.go({ run: this.run.value, evaluation: "" }) });
    const choose = () => this.go({ run: this.run.value, evaluation: this.evaluation.value });
    this.evaluation = h("select", { "aria-label": "Evaluation", onchange: choose });
    this.which = h("select", { "aria-label": "Which classes", onchange: () => this.paintMatrix() });
    this.summary = h("p", { class: "about" });
    this.imbalance = h("p", { class: "about" });
    this.matrix = new Matrix({ open: (label, predicted) => { location.hash = this.cell(label, predicted); } });
    this.list = h("div", { class: "scroll" });
    this.pairs = h("div", { class: "pairs" });
    this.element = this.page();
    changes.addEventListener("moved", () => { this.key = null; });
  }

  page() {
    const picks = h("div", { class: "picks" }, this.run, this.evaluation);
    const header = h("header", { class: "toolbar" }, h("div", { class: "line" }, h("h1", {}, "Classes"), picks), this.imbalance, this.summary);
    const list = h("section", { class: "list", "aria-label": "Classes", tabindex: "0" }, this.list);
    const line = h("div", { class: "line" }, h("h2", {}, "What is taken for what"), this.which);
    this.right = h("section", { class: "side", "aria-label": "Confusion" }, line, this.matrix.element, h("h2", {}, "Most frequent errors"), this.pairs);
    return h("div", { class: "classes" }, header, list, this.right);
  }

  go(params) {
    location.hash = address("#/classes", params);
  }

  async enter(params) {
    const key = JSON.stringify(params);
    if (key === this.key) return;
    this.key = key;
    const run = params.run || state.runs[0]?.run;
    this.run.hidden = this.evaluation.hidden = this.right.hidden = !run;
    this.element.classList.toggle("alone", !run);
    this.paintImbalance();
    this.run.replaceChildren(...state.runs.map((one) => h("option", { value: one.run }, one.name)));
    this.run.value = run ?? "";
    if (!run) {
      this.summary.textContent = "No run is evaluated yet. After coldframe train and evaluate, this page shows what is taken for what.";
      return this.paintTable(null);
    }
    let data;
    try {
      data = await get("api/confusion", { run, evaluation: params.evaluation });
    } catch (error) {
      this.right.hidden = true;
      this.element.classList.add("alone");
      this.summary.textContent = error.message;
      return this.paintTable(null);
    }
    if (this.key !== key) return;
    this.data = data;
    this.paint();
  }

  paint() {
    const { data } = this;
    this.evaluation.replaceChildren(...data.evaluations.map((name) => h("option", { value: name }, evaluationWords(name))));
    this.evaluation.value = data.evaluation;
    this.evaluation.hidden = data.evaluations.length < 2;
    this.summary.textContent = summary(data);
    this.paintTable(data);
    const groups = data.groups.length ? new Map(data.classes.map((one) => [one.label, one.group])) : null;
    this.matrix.data(data.cells, groups);
    this.paintWhich();
    this.paintMatrix();
    this.paintPairs();
  }

  paintImbalance() {
    const sizes = state.labels.filter(({ label }) => label).map(({ images }) => images);
    this.imbalance.textContent = sizes.length ? imbalance(sizes) : "The catalogue has no classes.";
  }

  paintTable(data) {
    const of = new Map((data?.classes ?? []).map((one) => [one.label, one]));
    const known = new Map(state.labels.filter(({ label }) => label).map((one) => [one.label, one]));
    const rows = [...new Set([...known.keys(), ...of.keys()])].map((label) => {
      const figures = of.get(label) ?? {};
      const size = known.get(label);
      return { ...figures, label, tested: figures.images, size: size?.images ?? figures.kept ?? 0, kept: size?.kept ?? figures.kept ?? 0 };
    });
    const most = Math.max(1, ...rows.map((row) => row.size));
    const column = (key, name, about, say) => ({ key, name, about, number: true, cell: (row) => (isNumber(row[key]) ? say(row[key]) : "–") });
    const share = (value) => percent(value, 0);
    const link = (row) => h("a", { href: address("#/review", { queue: "all", label: row.label }) }, row.label);
    const about = "The full bar is every picture, the dark part those that are in";
    const size = { key: "size", name: "pictures", number: true, cell: (row) => bar(row, most), about };
    const columns = [{ key: "label", name: "class", cell: link }, ...(data?.groups.length ? [{ key: "group", name: data.group_by }] : []), size];
    if (data) {
      columns.push(column("train", "train", "Pictures it was trained on", number), column("tested", "tested", "Pictures that the figures are of", number),
        column("recall", "recall", "Of its pictures, how many were found", share),
        column("precision", "precision", "Of those given this label, how many are right", share), column("f1", "F1", "Both in one figure", share));
    }
    this.list.replaceChildren(table("Classes", columns, rows, { by: "size" }));
  }

  paintWhich() {
    const { data } = this;
    const wrong = new Map();
    for (const cell of data.cells) {
      if (cell.label === cell.predicted) continue;
      for (const label of [cell.label, cell.predicted]) wrong.set(label, (wrong.get(label) ?? 0) + cell.images);
    }
    const all = data.classes.map((one) => one.label);
    const confused = new Set([...wrong].sort((a, b) => b[1] - a[1]).slice(0, MOST_CONFUSED).map(([label]) => label));
    const groupOf = new Map(data.classes.map((one) => [one.label, one.group]));
    this.scopes = [[`all ${number(all.length)} classes`, all]];
    if (all.length > MOST_CONFUSED) this.scopes.push([`the ${confused.size} most confused`, all.filter((label) => confused.has(label))]);
    for (const group of data.groups) {
      const labels = all.filter((label) => groupOf.get(label) === group);
      if (labels.length > 1) this.scopes.push([`${group} (${labels.length})`, labels]);
    }
    this.which.replaceChildren(...this.scopes.map(([name], place) => h("option", { value: String(place) }, name)));
    this.which.hidden = this.scopes.length < 2;
  }

  paintMatrix() {
    this.matrix.show(this.scopes[Number(this.which.value) || 0][1]);
  }

  cell(label, predicted) {
    return address("#/review", { queue: "cell", run: this.data.run, evaluation: this.data.evaluation, label, predicted });
  }

  /** For each of the largest errors a picture that was mistaken, beside a typical one of what it was taken for. */
  async paintPairs() {
    const key = this.key;
    const errors = this.data.cells.filter((cell) => cell.label !== cell.predicted).sort((a, b) => b.images - a.images).slice(0, PAIRS);
    const cards = errors.map((cell) => {
      const [mistaken, typical] = [h("span", { class: "hole" }), h("span", { class: "hole" })];
      const count = h("span", { class: "soft" }, ` · ${pictures(cell.images)}`);
      const words = h("span", { class: "words" }, h("strong", {}, cell.label), " taken for ", h("strong", {}, cell.predicted), count);
      const two = h("span", { class: "two" }, mistaken, typical);
      return { cell, mistaken, typical, element: h("a", { class: "pair", href: this.cell(cell.label, cell.predicted) }, two, words) };
    });
    this.pairs.replaceChildren(...cards.map((card) => card.element));
    if (!cards.length) this.pairs.replaceChildren(h("p", { class: "soft" }, "There is no error among these pictures."));
    for (const { cell, mistaken, typical } of cards) {
      if (this.key !== key) return;
      const { run, evaluation } = this.data;
      const wrong = { queue: "cell", run, evaluation, label: cell.label, predicted: cell.predicted, count: 1 };
      await Promise.all([fill(mistaken, "api/list", wrong), fill(typical, "api/typical", { label: cell.predicted })]);
    }
  }
}

/** Put the first picture of an answer into its place. */
async function fill(hole, path, params) {
  const { rows: [row] } = await get(path, params).catch(() => ({ rows: [] }));
  if (row?.content) hole.replaceChildren(h("img", { src: thumb(row), alt: "" }));
}

function summary({ rows, classes, accuracy, interval, f1 }) {
  const tested = plural(classes.filter(({ images }) => images).length, "class", "classes");
  const between = interval ? ` (95 % interval ${percent(interval[0])} to ${percent(interval[1])})` : "";
  return `Of ${pictures(rows)} of ${tested} that it was tested on, ${percent(accuracy)} are right${between}; macro F1 ${percent(f1)}.`;
}

function imbalance(sizes) {
  const [largest, smallest] = [Math.max(...sizes), Math.min(...sizes)];
  const times = number(Math.round(largest / smallest));
  return `${plural(sizes.length, "class", "classes")}. The largest has ${pictures(largest)}, the smallest ${number(smallest)}: ${times} to 1.`;
}

function bar({ size, kept }, most) {
  const full = h("span", { class: "full" }, h("span", { class: "part" }));
  full.style.width = `${(100 * size) / most}%`;
  full.firstChild.style.width = size ? `${(100 * kept) / size}%` : "0";
  const track = h("span", { class: "track", "aria-hidden": "true" }, full);
  return h("span", { class: "bar", title: `${number(kept)} of ${pictures(size)} are in` }, track, h("span", {}, number(size)));
}

/** The name of an evaluation in words. */
function evaluationWords(name) {
  const [kind, what] = name.split(":");
  const words = {
    plain: "every class allowed", masked: `only classes of the same ${what}`, plan: `on the plan ${what}`,
    export: `as exported: ${what}`, folds: `out of fold, ${what} folds`,
  };
  return words[kind] ?? name;
}
