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
    this.pictures.replaceChildren(...stack.map(({ row, place: at }) => this.one(row, at, stack.length > 1 && at === place)));
    const others = stack.length > 1 ? `Stack of ${stack.length}: arrows move, K keeps, D drops, O keeps this one and drops the others.` : "K keep, D drop, U unset, arrows move.";
    this.words.replaceChildren(h("strong", {}, here.row.label ?? "no class"), ` ${[stateOf(here.row), here.row.note].filter(Boolean).join(", ")} `, h("span", { class: "soft" }, others));
  }

  one(row, place, current) {
    const name = [row.label ?? "no class", stateOf(row), row.split, row.note].filter(Boolean).join(", ");
    return h("figure", { class: `${current ? "current" : ""} ${row.verdict ?? ""}`, onclick: () => this.select(place) },
      h("img", { src: row.content ? picture(row) : "data:,", alt: name }), h("figcaption", {}, name));
  }

  close() {
    this.box.close();
  }
}
