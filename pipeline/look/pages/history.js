// History: what was judged, what was done, and what changed between two of those.

import { address, get, thumb } from "./api.js";
import { h, number, pictures, verdictWord, when } from "./dom.js";
import { handOver } from "./review.js";
import { changes, state } from "./state.js";

const SHOWN = 200;

export class History {
  constructor() {
    this.summary = h("p", { class: "about" });
    this.given = h("ul", { class: "given" });
    this.more = h("p", { class: "soft" });
    this.moments = h("ol", { class: "moments", tabindex: "0", "aria-label": "What was done, newest first" });
    this.a = h("select", { "aria-label": "From", onchange: () => this.compare() });
    this.b = h("select", { "aria-label": "To", onchange: () => this.compare() });
    this.changed = h("div", { class: "changed", role: "status" });
    this.element = this.page();
    changes.addEventListener("moved", () => { this.data = null; });
  }

  page() {
    const header = h("header", { class: "toolbar" }, h("h1", {}, "History"), this.summary);
    const judged = h("section", { "aria-label": "Verdicts" }, h("h2", {}, "What was judged"), this.given, this.more);
    const about = h("p", { class: "soft" }, "Each step leaves the store as it then was, so any two of them can be compared.");
    const versus = h("div", { class: "versus" }, this.a, h("span", {}, "to"), this.b);
    const done = h("section", { "aria-label": "What was done" }, h("h2", {}, "What was done"), about, this.moments,
      h("h2", {}, "What changed between two"), versus, this.changed);
    return h("div", { class: "past" }, header, h("div", { class: "below" }, judged, done));
  }

  async enter() {
    if (this.data) return;
    this.data = await get("api/history");
    this.paint();
  }

  paint() {
    const { verdicts, moments } = this.data;
    this.summary.textContent = summary(state.judged);
    this.given.replaceChildren(...verdicts.slice(0, SHOWN).map(one));
    const rest = verdicts.length > SHOWN ? `and ${number(verdicts.length - SHOWN)} before these` : "";
    this.more.textContent = verdicts.length ? rest : "Nobody has judged a picture yet.";
    const newest = [...moments].sort((x, y) => y.number - x.number);
    const item = (moment) => h("li", {}, h("span", { class: "soft" }, when(moment.when)), h("span", {}, moment.what));
    const option = (moment) => h("option", { value: String(moment.number) }, `${when(moment.when)} – ${moment.what}`);
    this.moments.replaceChildren(...newest.map(item));
    for (const select of [this.a, this.b]) select.replaceChildren(...newest.map(option));
    if (newest.length > 1) {
      this.a.value = String(newest[1].number);
      this.compare();
    }
  }

  async compare() {
    const [a, b] = [Number(this.a.value), Number(this.b.value)].sort((x, y) => x - y);
    if (a === b) return this.changed.replaceChildren(h("p", { class: "soft" }, "Choose two different steps."));
    this.changed.replaceChildren(h("p", { class: "soft" }, "Comparing…"));
    try {
      const { sentences, strips } = await get("api/between", { a, b });
      this.changed.replaceChildren(...sentences.map((sentence) => h("p", {}, sentence)), ...strips.map(strip));
      if (!this.changed.children.length) this.changed.replaceChildren(h("p", {}, "No picture, label, verdict, plan or run changed."));
    } catch (error) {
      this.changed.replaceChildren(h("p", { class: "problem" }, error.message));
    }
    return undefined;
  }
}

function summary({ keep, drop, relabel, test_after_error: tested }) {
  const judged = `${number(keep)} kept, ${number(drop)} dropped and ${number(relabel)} relabelled by a person.`;
  if (!tested) return judged;
  const were = tested === 1 ? "was" : "were";
  const why = `judged because a run got ${tested === 1 ? "it" : "them"} wrong: its score looks better than it is`;
  return `${judged} ${pictures(tested)} of a test split ${were} ${why}.`;
}

/** Pictures that changed, of which some are shown. */
function strip({ title, images, rows }) {
  const cut = rows.length < images ? `, the first ${rows.length} of them` : "";
  const shown = rows.filter((row) => row.content);
  const small = (row, place) => {
    const label = row.label ?? "no class";
    const open = () => { location.hash = handOver(shown, title, place); };
    return h("button", { type: "button", class: "small", title: label, onclick: open }, h("img", { src: thumb(row), alt: label }));
  };
  return h("section", { class: "strip" }, h("h3", {}, `${title}${cut}`), h("div", { class: "thumbs" }, shown.map(small)));
}

function one(verdict) {
  const picture = verdict.content ? h("img", { src: thumb(verdict), alt: "", loading: "lazy" }) : h("span", { class: "hole" });
  const said = h("strong", {}, verdict.verdict === "unset" ? "verdict taken back" : verdictWord(verdict.verdict));
  const why = verdict.why ? h("span", { class: "soft" }, ` “${verdict.why}”`) : null;
  const over = verdict.stands || verdict.verdict === "unset" ? null : h("span", { class: "soft" }, " (judged again since)");
  const link = h("a", { class: "soft", href: address("#/review", { queue: "all", text: verdict.id }) }, verdict.id);
  const words = h("span", {}, said, verdict.label ? ` as ${verdict.label}` : null, why, over, h("br"), link);
  return h("li", { class: verdict.stands ? "" : "over" }, picture, words, h("span", { class: "soft" }, when(verdict.when)));
}
