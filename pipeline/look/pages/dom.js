// Elements, and the words in which figures and states are said.

const STAYS = 12_000;

/** Make an element. Children are text or elements, so a name from a store is never read as HTML. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  set(element, props);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false).map(visible));
  return element;
}

// What a person does not see, or what turns the order of what is seen round, in a label or a path of somebody else.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e0fff}]/gu;
const code = (one) => `\\u${one.codePointAt(0).toString(16).padStart(4, "0")}`;

/** A text with everything in it visible, as the command line shows it; what is no text stays. */
export const visible = (text) => (typeof text === "string" ? text.replace(UNSEEN, code) : text);

/** Make an element of SVG. */
export function svg(tag, props = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(props)) element.setAttribute(name, value);
  element.append(...children.flat());
  return element;
}

const READ = new Set(["alt", "title", "aria-label"]);

function set(element, props) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, style] of Object.entries(value)) element.style.setProperty(key, style);
    else element.setAttribute(name, value === true ? "" : READ.has(name) ? visible(value) : value);
  }
}

export const number = (value) => Number(value).toLocaleString("en");
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;
export const pictures = (count) => plural(count, "picture");
export const percent = (value, digits = 1) => (isNumber(value) ? `${(100 * value).toFixed(digits)} %` : "–");
export const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/** A time as a person says it: today's without its date. */
export function when(iso) {
  const time = new Date(iso);
  if (Number.isNaN(time.getTime())) return String(iso ?? "");
  const clock = time.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  if (time.toDateString() === new Date().toDateString()) return `today ${clock}`;
  return `${time.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" })} ${clock}`;
}

const VERDICTS = { keep: "kept", drop: "dropped", relabel: "relabelled" };

/** What became of an image, in one or two words. */
export function stateOf(row) {
  if (row.verdict) return VERDICTS[row.verdict] ?? row.verdict;
  if (row.content === null) return "no picture";
  return row.rule ? `out: ${row.rule}` : "";
}

export const verdictWord = (verdict) => VERDICTS[verdict] ?? "not judged";

/** A dialog that is shown at once, and is gone when it closes. */
export function dialog(name, ...children) {
  const element = h("dialog", { "aria-label": name }, ...children);
  element.addEventListener("close", () => element.remove());
  document.body.append(element);
  element.showModal();
  return element;
}

let silence = 0;

/** Say something in the header, also to those who listen. It goes after a while, unless it still holds. */
export function say(text, holds = false) {
  const place = document.getElementById("saved");
  place.textContent = visible(text);
  clearTimeout(silence);
  if (!holds) silence = setTimeout(() => { place.textContent = ""; }, STAYS);
}
