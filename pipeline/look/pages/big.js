// A picture as large as the window, and near copies beside each other.

import { picture } from "./api.js";
import { dialog, h, stateOf } from "./dom.js";
import { listen } from "./keys.js";

/** The pictures of the stack that a place of a list belongs to; itself alone where there are no stacks. */
export function stackAt(list, place) {
  const row = list.row(place);
  if (!row || row.stack === undefined || row.stack === null) return row ? [{ row, place }] : [];
  let first = place;
  while (list.row(first - 1)?.stack === row.stack) first--;
  const stack = [];
  for (let at = first; list.row(at)?.stack === row.stack; at++) stack.push({ row: list.row(at), place: at });
  return stack;
}

export class Big {
  constructor({ list, place, keys, select, closed }) {
    this.list = list;
    this.select = select;
    this.pictures = h("div", { class: "pictures" });
    this.words = h("p", { class: "words" });
    const close = h("button", { type: "button", onclick: () => this.close() }, "Close");
    this.box = dialog("Large", h("div", { class: "big" }, this.pictures, h("div", { class: "under" }, this.words, close)));
    this.box.classList.add("whole");
    const deaf = listen({ ...keys, dialog: this.box });
    this.box.addEventListener("close", () => { deaf(); closed(); });
    this.show(place);
    this.pictures.tabIndex = -1;
    this.pictures.focus();
  }

  show(place) {
    const stack = stackAt(this.list, place);
    const here = stack.find((one) => one.place === place);
    if (!here) return;
    this.pictures.style.setProperty("--across", stack.length > 4 ? Math.ceil(stack.length / 2) : stack.length);
    this.pictures.replaceChildren(...stack.map((one) => this.one(one.row, one.place, stack.length > 1, one.place === place)));
    const ofStack = `Stack of ${stack.length}: arrows move, O keeps this one and drops the others. `;
    const keys = `${stack.length > 1 ? ofStack : ""}K keep, D drop, R relabel, U unset${stack.length > 1 ? "" : ", arrows move"}.`;
    const known = [stateOf(here.row), here.row.split, here.row.note].filter(Boolean);
    this.words.replaceChildren(h("strong", {}, here.row.label ?? "no class"), ` ${known.join(", ")} `, h("span", { class: "soft" }, keys));
  }

  /** A picture; those of a stack say under each what it is. */
  one(row, place, stacked, current) {
    const name = [row.label ?? "no class", stateOf(row), row.split, row.note].filter(Boolean).join(", ");
    return h("figure", { class: `${stacked && current ? "current" : ""} ${row.verdict ?? ""}`, onclick: () => this.select(place) },
      h("img", { src: row.content ? picture(row) : "data:,", alt: name }), stacked ? h("figcaption", {}, name) : null);
  }

  close() {
    this.box.close();
  }
}
