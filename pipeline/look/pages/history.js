// History: what was judged, what was done, and what changed between two of those.

import { address, get, thumb } from "./api.js";
import { h, number, pictures, plural, verdictWord, when } from "./dom.js";
import { handOver } from "./review.js";
import { changes, state } from "./state.js";

const SHOWN = 200;
const DONE = {
  ingest: "The catalogue was read", embed: "Features were made", score: "Pictures were scored", copies: "Near copies were looked for",
  filter: "A rule was set, and the plan replayed", split: "A split was set, and the plan replayed", curate: "The plan was replayed", plan: "A plan was changed",
  train: "A head was trained", tune: "A head was tuned", finetune: "Last layers were trained", evaluate: "A run was evaluated",
  judge: "Pictures were judged", keep: "Pictures were kept", drop: "Pictures were dropped", relabel: "Pictures were relabelled", verdicts: "Pictures were judged", undo: "A judgement was undone",
  repair: "The store was repaired", gc: "What is no longer needed was removed",
};

/** What made a moment of the store, in words. */
function doneWords(what) {
  const [step, ...rest] = String(what ?? "").split(" ");
  const words = DONE[step];
  return words ? `${words}${rest.length ? `: ${rest.join(" ")}` : ""}` : String(what ?? "");
}

export class History {
  constructor() {
    this.summary = h("p", { class: "about" });
    this.given = h("ul", { class: "given" });
    this.more = h("p", { class: "soft" });
    this.moments = h("ol", { class: "moments", tabindex: "0", "aria-label": "What was done, newest first" });
    this.a = h("select", { "aria-label": "From", onchange: () => this.compare() });
    this.b = h("select", { "aria-label": "To", onchange: () => this.compare() });
    this.changed = h("div", { class: "changed", role: "status" });
    this.element = h("div", { class: "past" }, h("header", { class: "toolbar" }, h("h1", {}, "History"), this.summary),
      h("div", { class: "below" }, h("section", { "aria-label": "Verdicts" }, h("h2", {}, "What was judged"), this.given, this.more),
        h("section", { "aria-label": "What was done" }, h("h2", {}, "What was done"), h("p", { class: "soft" }, "Each step leaves the store as it then was, so any two of them can be compared."), this.moments,
          h("h2", {}, "What changed between two"), h("div", { class: "versus" }, this.a, h("span", {}, "to"), this.b), this.changed)));
    changes.addEventListener("moved", () => { this.data = null; });
  }

  async enter() {
    if (this.data) return;
    this.data = await get("api/history");
    this.paint();
  }

  paint() {
    const { verdicts, moments } = this.data;
    const { keep, drop, relabel, test_after_error: tested } = state.judged;
    const flattered = tested ? ` ${pictures(tested)} of a test split ${tested === 1 ? "was" : "were"} judged because a model had erred: its score looks better than it is.` : "";
    this.summary.textContent = `${number(keep)} kept, ${number(drop)} dropped and ${number(relabel)} relabelled by a person.${flattered}`;
    this.given.replaceChildren(...verdicts.slice(0, SHOWN).map(one));
    this.more.textContent = !verdicts.length ? "Nobody has judged a picture yet." : verdicts.length > SHOWN ? `and ${number(verdicts.length - SHOWN)} before these` : "";
    const newest = [...moments].sort((x, y) => y.number - x.number);
    this.moments.replaceChildren(...newest.map((moment) => h("li", {}, h("span", { class: "soft" }, when(moment.when)), h("span", {}, doneWords(moment.what)))));
    for (const select of [this.a, this.b]) select.replaceChildren(...newest.map((moment) => h("option", { value: String(moment.number) }, `${when(moment.when)} – ${doneWords(moment.what)}`)));
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
      const answer = await get("api/between", { a, b });
      this.changed.replaceChildren(...answer.sentences.map((sentence) => h("p", {}, sentence)), ...answer.plans.flatMap((plan) => this.plan(plan)));
      if (!this.changed.children.length) this.changed.replaceChildren(h("p", {}, "Nothing that this page knows of changed."));
    } catch (error) {
      this.changed.replaceChildren(h("p", { class: "problem" }, error.message));
    }
    return undefined;
  }

  plan({ plan, came, went, came_count: cameCount, went_count: wentCount }) {
    const strip = (rows, count, words) => (count ? h("section", { class: "strip" }, h("h3", {}, `Plan ${plan}: ${pictures(count)} ${words}${rows.length < count ? `, the first ${rows.length} of them` : ""}`),
      h("div", { class: "thumbs" }, rows.filter((row) => row.content).map((row, place) => h("button", { type: "button", class: "small", title: row.label ?? "no class", onclick: () => { location.hash = handOver(rows, `Plan ${plan}: ${plural(rows.length, "picture")} that ${words}`, place); } }, h("img", { src: thumb(row), alt: row.label ?? "no class" }))))) : null);
    return [strip(came, cameCount, "came in"), strip(went, wentCount, "went out")].filter(Boolean);
  }
}

function one(verdict) {
  const words = [h("strong", {}, verdict.verdict === "unset" ? "verdict taken back" : verdictWord(verdict.verdict)), verdict.label ? ` as ${verdict.label}` : "", verdict.why ? h("span", { class: "soft" }, ` “${verdict.why}”`) : ""];
  return h("li", { class: verdict.stands ? "" : "over" }, verdict.content ? h("img", { src: thumb(verdict), alt: "", loading: "lazy" }) : h("span", { class: "hole" }),
    h("span", {}, words, verdict.stands || verdict.verdict === "unset" ? "" : h("span", { class: "soft" }, " (judged again since)"), h("br"), h("a", { class: "soft", href: address("#/review", { queue: "all", text: verdict.id }) }, verdict.id)), h("span", { class: "soft" }, when(verdict.when)));
}
