// Choosing a class: what is suggested stands first, so that Enter takes it; where nothing is, Enter takes nothing. Typing completes.

import { h } from "./dom.js";

const SHOWN = 6;
const recent = [];
let boxes = 0;

/** Ask for a class inside `slot`. Answers its name, or null if the person went back. */
export function choose(slot, { suggested, current, labels }) {
  return new Promise((resolve) => {
    const id = `labels${++boxes}`;
    const input = h("input", {
      type: "text", role: "combobox", "aria-expanded": "true", "aria-controls": id, "aria-autocomplete": "list", "aria-label": "Another class",
      autocomplete: "off", spellcheck: "false", placeholder: suggested ? `Enter for ${suggested}, or type` : "type a class",
    });
    const list = h("ul", { id, role: "listbox", "aria-label": "Classes" });
    let offers = [];
    let at = suggested ? 0 : -1;
    let done = false;
    const finish = (label) => {
      // Taking away what has the focus is a blur too, which must not count as going back.
      if (done) return;
      done = true;
      slot.replaceChildren();
      if (label) remember(label);
      resolve(label);
    };
    const paint = () => {
      offers = offer(input.value, { suggested, current, labels });
      at = Math.min(at, offers.length - 1);
      list.replaceChildren(...offers.map((one, place) => h("li", {
        role: "option", id: `${id}-${place}`, "aria-selected": String(place === at),
        onpointerdown: (event) => { event.preventDefault(); finish(one.label); },
      }, one.label, one.why ? h("span", { class: "soft" }, one.why) : null)));
      if (offers[at]) input.setAttribute("aria-activedescendant", `${id}-${at}`);
      else input.removeAttribute("aria-activedescendant");
    };
    input.addEventListener("input", () => { at = input.value.trim() || suggested ? 0 : -1; paint(); });
    input.addEventListener("blur", () => finish(null));
    input.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step) { at = at < 0 && step < 0 ? offers.length - 1 : (at + step + offers.length) % Math.max(1, offers.length); paint(); }
      else if (event.key === "Enter") { if (offers[at]) finish(offers[at].label); }
      else if (event.key === "Escape") finish(null);
      else return;
      event.preventDefault();
    });
    slot.replaceChildren(h("div", { class: "chooser" }, input, list));
    paint();
    input.focus();
    list.scrollIntoView({ block: "nearest" });
  });
}

function remember(label) {
  const place = recent.indexOf(label);
  if (place >= 0) recent.splice(place, 1);
  recent.unshift(label);
  recent.length = Math.min(recent.length, 4);
}

function offer(text, { suggested, current, labels }) {
  const wanted = text.trim();
  const low = wanted.toLowerCase();
  const names = labels.map((one) => one.label).filter((label) => label && label !== current);
  if (!wanted) {
    const first = [...(suggested && suggested !== current ? [suggested] : []), ...recent.filter((label) => label !== current), ...names];
    return [...new Set(first)].slice(0, SHOWN).map((label) => ({ label, why: label === suggested ? "suggested" : recent.includes(label) ? "used before" : "" }));
  }
  const begins = names.filter((label) => label.toLowerCase().startsWith(low));
  const holds = names.filter((label) => !begins.includes(label) && label.toLowerCase().includes(low));
  const found = [...begins, ...holds].slice(0, SHOWN).map((label) => ({ label, why: label === suggested ? "suggested" : "" }));
  const exact = labels.some((one) => one.label === wanted);
  return exact ? found.sort((a, b) => (b.label === wanted) - (a.label === wanted)) : [...found, { label: wanted, why: "a new class" }];
}
