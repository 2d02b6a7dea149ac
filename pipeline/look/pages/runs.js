// Runs: the best first, with what is certain about them; how one was trained; what changed between two.

import { address, get } from "./api.js";
import { curves, interval } from "./chart.js";
import { h, isNumber, number, percent, pictures, when } from "./dom.js";
import { changes } from "./state.js";
import { table } from "./table.js";

const ABOUT = "Figures of the test pictures. Each line is a 95 % interval. Where two overlap much, compare the runs below before you call one better.";

export class Runs {
  constructor() {
    this.about = h("p", { class: "about" });
    this.list = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Leaderboard" });
    this.curves = h("section", { "aria-label": "Training" });
    this.a = h("select", { "aria-label": "First run", onchange: () => this.compare() });
    this.b = h("select", { "aria-label": "Second run", onchange: () => this.compare() });
    this.outcomes = h("div", { class: "outcomes", role: "status" });
    const two = h("div", { class: "versus" }, this.a, h("span", {}, "and"), this.b);
    this.versus = h("section", { "aria-label": "Two runs" }, h("h2", {}, "Two runs compared"), two, this.outcomes);
    this.below = h("div", { class: "below" }, this.curves, this.versus);
    const header = h("header", { class: "toolbar" }, h("h1", {}, "Runs"), this.about);
    this.element = h("div", { class: "runs" }, header, this.list, this.below);
    changes.addEventListener("moved", () => { this.runs = null; });
  }

  async enter(params) {
    if (!this.runs) {
      this.runs = (await get("api/runs")).runs;
      this.fill();
    }
    this.shown = this.runs.find(({ run }) => run === params.run) ?? this.shown ?? this.runs[0];
    if (this.shown) this.paintCurves(this.shown);
    if (params.a && params.b) [this.a.value, this.b.value] = [params.a, params.b];
    if (this.runs.length > 1) await this.compare();
  }

  fill() {
    const { runs } = this;
    this.shown = null;
    this.list.hidden = this.below.hidden = !runs.length;
    this.versus.hidden = runs.length < 2;
    this.about.textContent = runs.length ? ABOUT : "There are no runs yet. coldframe train makes one.";
    this.list.replaceChildren(table("Leaderboard", this.columns(), runs, { by: "accuracy" }));
    const option = (run) => h("option", { value: run.run }, `${run.name} (${when(run.created)})`);
    for (const select of [this.a, this.b]) select.replaceChildren(...runs.map(option));
    if (runs.length > 1) this.b.value = runs[1].run;
  }

  columns() {
    const axis = axisOf(this.runs);
    const name = (run) => h("button", { type: "button", class: "name", "data-run": run.run, onclick: () => this.paintCurves(run) }, run.name);
    const count = (key, words, about) => ({ key, name: words, about, number: true, cell: (run) => (isNumber(run[key]) ? number(run[key]) : "–") });
    return [
      { key: "name", name: "run", cell: name },
      { key: "accuracy", name: "accuracy, and its 95 % interval", number: false, cell: (run) => accuracy(run, axis) },
      { key: "f1", name: "macro F1", number: true, cell: (run) => percent(run.f1) },
      count("rows", "tested", "Pictures that the figures are of"), count("train_rows", "trained on", "Pictures that it was trained on"),
      { key: "head", name: "head", cell: (run) => run.head ?? run.kind }, { key: "embedder", name: "features" }, { key: "plan", name: "plan" },
      { key: "created", name: "made", cell: (run) => when(run.created) },
    ];
  }

  paintCurves(run) {
    this.shown = run;
    for (const button of this.list.querySelectorAll("button.name")) button.setAttribute("aria-pressed", String(button.dataset.run === run.run));
    const charts = chartsOf(run);
    const shown = charts.length ? h("div", { class: "charts" }, charts) : h("p", { class: "soft" }, "Nothing is recorded of its training.");
    const link = h("a", { href: address("#/classes", { run: run.run }) }, `What ${run.name} takes for what`);
    this.curves.replaceChildren(h("h2", {}, `How ${run.name} was trained`), shown, h("p", {}, link));
  }

  async compare() {
    const [a, b] = [this.a.value, this.b.value];
    if (a === b) return this.outcomes.replaceChildren(h("p", {}, h("span", {}), "Choose two different runs."));
    try {
      const answer = await get("api/compare", { a, b });
      if (a === this.a.value && b === this.b.value) this.paintOutcomes(answer, a, b);
    } catch (error) {
      this.outcomes.replaceChildren(h("p", { class: "problem" }, error.message));
    }
    return undefined;
  }

  paintOutcomes(answer, a, b) {
    const name = (run) => this.runs.find((one) => one.run === run).name;
    const one = (which, count, words) => {
      const parts = [h("strong", {}, number(count)), words];
      return which && count ? h("a", { href: address("#/review", { queue: "compare", a, b, which }) }, parts) : h("p", {}, parts);
    };
    this.outcomes.replaceChildren(h("p", { class: "soft" }, h("span", {}), `Of ${pictures(answer.rows)} that both were tested on:`),
      one("only_a", answer.only_a, `right in ${name(a)} alone`), one("only_b", answer.only_b, `right in ${name(b)} alone`),
      one("neither", answer.neither, "wrong in both"), one(null, answer.both, "right in both"));
  }
}

/** An axis that all accuracies and their intervals fit on. */
function axisOf(runs) {
  const ends = runs.flatMap((run) => [run.accuracy, ...(run.interval ?? [])]).filter(isNumber);
  if (!ends.length) return [0, 1];
  return [Math.floor(Math.min(...ends) * 20) / 20, Math.min(1, Math.ceil(Math.max(...ends) * 20) / 20)];
}

/** The curves of a run, of what was recorded. */
function chartsOf({ history }) {
  const points = (key) => history.filter((epoch) => isNumber(epoch[key])).map((epoch) => [epoch.epoch, epoch[key]]);
  const chart = (title, ofValidation, ofTraining, asPercent) => {
    const lines = [{ name: "validation", main: true, points: points(ofValidation) }, { name: "training", points: points(ofTraining) }];
    const known = lines.filter((line) => line.points.length);
    return known.length ? h("figure", {}, h("figcaption", {}, title), curves(title, known, asPercent)) : null;
  };
  return [chart("Loss", "val_loss", "loss"), chart("Accuracy", "val_accuracy", "accuracy", true)].filter(Boolean);
}

function accuracy(run, axis) {
  const none = isNumber(run.accuracy) ? "" : "not evaluated";
  const between = run.interval ? `${percent(run.interval[0])} to ${percent(run.interval[1])}` : none;
  const drawn = interval(run.accuracy, run.interval, axis);
  return h("span", { class: "interval" }, h("b", {}, percent(run.accuracy)), drawn, h("span", { class: "soft" }, between));
}
