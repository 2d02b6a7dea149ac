// The keyboard: one place that hears it, and passes a key to whoever is in front.

import { dialog, h } from "./dom.js";

const stack = [];

/** Hear keys until the function that is returned is called. `map` names keys such as "k", "Ctrl+z" or "Shift+ArrowDown". */
export function listen(map) {
  stack.push(map);
  return () => {
    const place = stack.indexOf(map);
    if (place >= 0) stack.splice(place, 1);
  };
}

function nameOf(event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const control = event.ctrlKey || event.metaKey;
  // Shift is part of a sign such as "?"; with Control it makes another key, as Ctrl+Shift+Z is not Ctrl+Z.
  const shift = event.shiftKey && (control || event.key.length > 1) ? "Shift+" : "";
  return (control ? "Ctrl+" : "") + shift + key;
}

const typing = (target) => target.closest?.("input:not([type=range]), textarea, select, [contenteditable]");
const pressable = (target) => target.closest?.("button, a, summary, input");

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.altKey || event.isComposing || typing(event.target)) return;
  const open = document.querySelector("dialog[open]");
  const name = nameOf(event);
  // Enter and the space bar press what has the focus, and a slider has its own arrows.
  if ((name === "Enter" || name === " ") && pressable(event.target)) return;
  if (event.target.type === "range" && /Arrow|Page|Home|End/.test(name)) return;
  for (const map of [...stack].reverse()) {
    if (open && map.dialog !== open) continue;
    const act = map[name] ?? map.other;
    if (act && act(event, name) !== false) {
      event.preventDefault();
      return;
    }
  }
});

const KEYS = [
  ["Arrows, Home, End, Page", "move"],
  ["K", "keep: it is right as it is, whatever the rules say"],
  ["D", "drop: take it out"],
  ["R", "relabel: Enter takes the suggested class, or type another"],
  ["U", "unset: take your verdict back"],
  ["Ctrl + Z", "undo the last act, also one on many pictures"],
  ["Shift + arrows or click", "select a range"],
  ["Ctrl + A", "select all in this list; it asks before it acts"],
  ["Space or Enter", "look at it large; near copies beside each other"],
  ["O", "in a stack of near copies: keep this one, drop the others"],
  ["N", "to the next that is not judged"],
  ["/", "find in this list"],
  ["Escape", "back: close, or select one picture only"],
  ["L, 0, + and −", "on the map: lasso, whole map, nearer and farther"],
  ["1 to 6", "Review, Map, Classes, Runs, Ask, History"],
  ["Ctrl + Enter", "in Ask: run the query"],
];

/** Show which keys there are. */
export function showKeys() {
  const rows = KEYS.map(([keys, what]) => h("tr", {}, h("th", { scope: "row" }, h("kbd", {}, keys)), h("td", {}, what)));
  const close = h("button", { type: "button", class: "primary", onclick: () => box.close() }, "Close");
  const box = dialog("Keys", h("h2", {}, "Keys"), h("table", { class: "keys" }, h("tbody", {}, rows)), h("p", { class: "buttons" }, close));
}
