// Replaying the plan: first what would change, then the change.

import { post, thumb } from "./api.js";
import { dialog, h, number, plural, say } from "./dom.js";
import { settled } from "./judge.js";

const AGAIN = "Rules and splits are worked out again.";

/** Show what a replay would change, and do it if the person says so. Answers whether it was done. */
export function offerReplay(pending) {
  return new Promise((resolve) => {
    const body = h("div", {}, h("p", { class: "wait" }, "Working out what would change…"));
    const go = h("button", { type: "button", class: "primary", disabled: true }, "Replay the plan");
    const stay = h("button", { type: "button" }, "Not now");
    const box = dialog("Replay the plan", h("h2", {}, "Replay the plan"),
      h("p", { class: "soft" }, pending ? `${plural(pending, "verdict")} will take effect. ${AGAIN}` : AGAIN),
      body, h("p", { class: "buttons" }, stay, go));
    let done = false;
    box.addEventListener("close", () => resolve(done));
    stay.addEventListener("click", () => box.close());
    box.addEventListener("cancel", (event) => busy && event.preventDefault());
    let busy = false;
    let expect = null;
    const failed = (error) => {
      busy = stay.disabled = false;
      go.textContent = "Replay the plan";
      body.replaceChildren(h("p", { class: "problem", role: "alert" }, error.message));
      if (error.status !== 409) return;
      say("Something was judged since: this is what would change now.");
      look().catch(failed);
    };
    const look = async () => {
      await settled();
      const answer = await post("api/replay", { preview: true });
      ({ expect } = answer);
      body.replaceChildren(...preview(answer));
      go.disabled = false;
      go.focus();
    };
    look().catch(failed);
    go.addEventListener("click", () => {
      busy = go.disabled = stay.disabled = true;
      go.textContent = "Replaying…";
      post("api/replay", { preview: false, expect }).then(() => { done = true; box.close(); }, failed);
    });
  });
}

function preview(answer) {
  const before = answer.kept_before;
  const after = answer.kept_after;
  const parts = [h("p", { class: "figures" }, h("strong", {}, number(before)), " pictures are in now, ", h("strong", {}, number(after)), " would be.")];
  if (answer.sentence) parts.push(h("p", {}, answer.sentence));
  if (answer.rows?.length) {
    const shown = answer.rows.length < answer.others ? `The first ${answer.rows.length} of ${number(answer.others)} others` : "The others";
    const small = (row) => h("img", { src: thumb(row), alt: row.label ?? "no class", title: row.label ?? "" });
    parts.push(h("h3", {}, `${shown}:`), h("div", { class: "thumbs" }, answer.rows.map(small)));
  }
  if (answer.changes?.length) {
    const count = plural(answer.changes.length, "class changes", "classes change");
    parts.push(h("details", {}, h("summary", {}, `Class by class: ${count}`), changes(answer.changes)));
  }
  return parts;
}

function changes(rows) {
  const figure = (value) => h("td", { class: "n" }, number(value));
  const moves = ({ comes, goes }) => [comes && `${number(comes)} in`, goes && `${number(goes)} out`].filter(Boolean).join(", ");
  const cells = (row) => [h("th", { scope: "row" }, row.label ?? "no class"), figure(row.before), figure(row.after), h("td", {}, moves(row))];
  const heads = [["class", null], ["now", "n"], ["then", "n"], ["changes", null]].map(([name, kind]) => h("th", { scope: "col", class: kind }, name));
  const body = h("tbody", {}, rows.map((row) => h("tr", {}, cells(row))));
  return h("div", { class: "scroll" }, h("table", { class: "plain" }, h("thead", {}, h("tr", {}, heads)), body));
}
