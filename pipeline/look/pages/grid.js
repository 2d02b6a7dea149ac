// A grid of as many pictures as there are, of which only those in view are elements. Elements are used again.

import { thumb } from "./api.js";
import { h, number, stateOf, visible } from "./dom.js";

const GAP = 10;
const PAD = 14;
const CAPTION = 40;
const SMALLEST_WITH_CAPTION = 116;
const OVERSCAN = 1;
// Browsers draw no element that is much taller; beyond it, scrolling counts for more than its pixels.
const TALLEST = 12_000_000;
const REST = 70;
let grids = 0;

export class Grid {
  /** `select(place, row)` is called when the cursor moves, `open(row)` on a double click. */
  constructor({ name, select = () => {}, open = () => {} }) {
    this.id = `grid${++grids}`;
    this.onselect = select;
    this.onopen = open;
    this.list = null;
    this.size = 168;
    this.cursor = 0;
    this.anchor = 0;
    this.all = false;
    this.shown = new Map();
    this.free = [];
    this.made = 0;
    this.frame = 0;
    this.rest = 0;
    this.top = 0;
    this.layer = h("div", { class: "layer", role: "presentation" });
    this.element = h("div", {
      class: "grid", role: "listbox", tabindex: "0", "aria-label": name, "aria-multiselectable": "true",
    }, this.layer);
    this.empty = h("div", { class: "empty", hidden: true });
    this.box = h("div", { class: "gridbox" }, this.element, this.empty);
    this.element.addEventListener("scroll", () => this.schedule(), { passive: true });
    this.element.addEventListener("click", (event) => this.clicked(event));
    this.element.addEventListener("dblclick", (event) => this.opened(event));
    new ResizeObserver(() => this.measure()).observe(this.element);
    this.onrows = () => this.repaint();
    this.onsize = () => this.measure();
  }

  /** Show a list, with the cursor at a place. */
  show(list, place = 0) {
    for (const name of ["rows", "size"]) this.list?.removeEventListener(name, this[`on${name}`]);
    this.list = list;
    for (const name of ["rows", "size"]) list.addEventListener(name, this[`on${name}`]);
    this.cursor = this.anchor = place;
    this.all = false;
    this.measure();
    this.into(place, true);
    this.repaint();
  }

  resize(size) {
    this.size = size;
    this.measure();
    this.into(this.cursor, true);
  }

  // Geometry: read once when it may have changed, never while scrolling.
  measure() {
    const width = this.element.clientWidth;
    this.height = this.element.clientHeight;
    if (!this.list || !width) return;
    if (this.list.known && this.cursor >= this.list.total) this.cursor = this.anchor = Math.max(0, this.list.total - 1);
    this.columns = Math.max(1, Math.floor((width - 2 * PAD + GAP) / (this.size + GAP)));
    this.tile = Math.floor((width - 2 * PAD + GAP) / this.columns) - GAP;
    this.caption(this.tile >= SMALLEST_WITH_CAPTION);
    this.step = Math.round(this.tile * 0.75) + (this.captions ? CAPTION : 0) + GAP;
    const full = Math.ceil(this.list.total / this.columns) * this.step + 2 * PAD - GAP;
    const tall = Math.min(full, TALLEST);
    this.ratio = full > tall ? (full - this.height) / (tall - this.height) : 1;
    this.element.style.setProperty("--tile", `${this.tile}px`);
    this.element.style.setProperty("--picture", `${Math.round(this.tile * 0.75)}px`);
    this.layer.style.height = `${this.list.total ? tall : 0}px`;
    this.empty.hidden = !(this.list.known && this.list.total === 0);
    this.repaint();
  }

  /** Small pictures have no captions: their tiles are made anew, with fewer elements. */
  caption(captions) {
    if (captions === this.captions) return;
    this.captions = captions;
    this.layer.replaceChildren();
    this.shown.clear();
    this.free = [];
  }

  schedule() {
    this.frame ||= requestAnimationFrame(() => this.draw());
  }

  /** Fill every tile in view again. */
  repaint() {
    this.stale = true;
    this.schedule();
  }

  draw() {
    this.frame = 0;
    if (!this.list || !this.columns) return;
    const scroll = this.element.scrollTop;
    const top = scroll * this.ratio;
    const fast = Math.abs(top - this.top) > this.height;
    this.top = top;
    const first = Math.max(0, Math.floor((top - PAD) / this.step) - OVERSCAN) * this.columns;
    const rows = Math.ceil(this.height / this.step) + 1 + 2 * OVERSCAN;
    const end = Math.min(this.list.total, first + rows * this.columns);
    for (const [place, tile] of this.shown) if (place < first || place >= end) this.release(place, tile);
    for (let place = first; place < end; place++) this.place(place, scroll - top, fast);
    this.stale = false;
    this.first = first;
    this.end = end;
    clearTimeout(this.rest);
    if (fast) this.rest = setTimeout(() => this.repaint(), REST);
    else if (end > first) this.list.need(first, end - 1);
  }

  release(place, tile) {
    this.shown.delete(place);
    if (this.element.getAttribute("aria-activedescendant") === tile.element.id) this.element.removeAttribute("aria-activedescendant");
    tile.element.classList.add("unused");
    this.free.push(tile);
  }

  place(place, shift, fast) {
    let tile = this.shown.get(place);
    const fresh = !tile;
    if (fresh) {
      tile = this.free.pop() ?? this.make();
      this.shown.set(place, tile);
      tile.element.classList.remove("unused");
    }
    const x = PAD + (place % this.columns) * (this.tile + GAP);
    const y = PAD + Math.floor(place / this.columns) * this.step + shift;
    const where = `translate(${x}px, ${Math.round(y)}px)`;
    if (tile.where !== where) tile.element.style.transform = tile.where = where;
    if (fresh || this.stale || tile.bare) this.fill(tile, place, fast);
  }

  make() {
    const image = h("img", { alt: "", decoding: "async", draggable: "false" });
    image.addEventListener("load", () => { image.classList.remove("loading"); image.alt = ""; });
    image.addEventListener("error", () => { image.classList.remove("loading"); image.alt = "can no longer be read"; });
    const badge = h("span", { class: "badge" });
    const caption = this.captions ? h("span", { class: "caption" }) : null;
    const note = this.captions ? h("span", { class: "note" }) : null;
    const element = h("div", { class: "tile", role: "option", id: `${this.id}-${this.made++}` }, image, badge, caption, note);
    this.layer.append(element);
    return { element, image, badge, caption, note };
  }

  fill(tile, place, fast) {
    const row = this.list.row(place);
    const selected = this.holds(place);
    tile.place = place;
    tile.bare = !row || fast;
    tile.element.className = this.classes(row, place, selected);
    tile.element.setAttribute("aria-selected", String(selected));
    tile.element.setAttribute("aria-posinset", String(place + 1));
    tile.element.setAttribute("aria-setsize", String(this.list.total));
    // Where there is a caption, it is the name; without one the words are only heard.
    if (row && this.captions) tile.element.removeAttribute("aria-label");
    else tile.element.setAttribute("aria-label", row ? visible(describe(row)) : `picture ${number(place + 1)}, not read yet`);
    if (place === this.cursor) this.element.setAttribute("aria-activedescendant", tile.element.id);
    tile.badge.textContent = row ? stateOf(row) : "";
    if (this.captions) {
      tile.caption.textContent = row ? visible(row.label ?? row.path ?? "no class") : "";
      tile.note.textContent = row ? visible(second(row)) : "";
    }
    this.paint(tile, fast || !row ? null : row.content);
  }

  paint(tile, content) {
    if (tile.content === content) return;
    tile.content = content;
    tile.image.alt = "";
    if (content === null) {
      tile.image.removeAttribute("src");
      return;
    }
    tile.image.classList.add("loading");
    tile.image.src = thumb({ content });
  }

  classes(row, place, selected) {
    const names = ["tile"];
    if (place === this.cursor) names.push("cursor");
    if (selected && this.count() > 1) names.push("selected");
    if (!row) return names.join(" ");
    if (row.verdict) names.push("judged", row.verdict);
    else if (row.rule) names.push("out");
    if (row.stack !== undefined && row.stack !== null) {
      names.push(row.stack % 2 ? "odd" : "even");
      if (this.list.row(place - 1)?.stack === row.stack) names.push("joined");
      if (this.list.row(place + 1)?.stack === row.stack) names.push("joins");
    }
    return names.join(" ");
  }

  // Selection: a cursor, and everything between it and an anchor.
  range() {
    return [Math.min(this.anchor, this.cursor), Math.max(this.anchor, this.cursor)];
  }

  holds(place) {
    const [from, to] = this.range();
    return this.all || (place >= from && place <= to);
  }

  count() {
    const [from, to] = this.range();
    return this.all ? this.list.listed() : to - from + 1;
  }

  /** Move the cursor; with `extend` the anchor stays, and all between is selected. */
  select(place, extend = false) {
    if (!this.list?.total) return;
    this.cursor = Math.max(0, Math.min(this.list.total - 1, place));
    if (!extend) this.anchor = this.cursor;
    this.all = false;
    this.into(this.cursor);
    this.repaint();
    this.onselect(this.cursor, this.list.row(this.cursor));
  }

  selectAll() {
    this.all = true;
    this.repaint();
    this.onselect(this.cursor, this.list.row(this.cursor));
  }

  /** Where a key leads, or null if it is no key of movement. */
  target(key) {
    const page = Math.max(1, Math.floor(this.height / this.step)) * this.columns;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns, PageUp: -page, PageDown: page };
    if (key === "Home") return 0;
    if (key === "End") return this.list.total - 1;
    if (!(key in steps)) return null;
    const place = this.cursor + steps[key];
    // A step up or down that leads nowhere stays, so that the column is not lost.
    return Math.abs(steps[key]) === 1 || (place >= 0 && place < this.list.total) ? place : this.cursor;
  }

  into(place, centre = false) {
    if (!this.columns) return;
    const y = PAD + Math.floor(place / this.columns) * this.step;
    const bottom = y + this.step;
    const top = this.element.scrollTop * this.ratio;
    if (y - PAD >= top && bottom + PAD <= top + this.height) return;
    const to = centre ? y - (this.height - this.step) / 2 : y - PAD < top ? y - PAD : bottom + PAD - this.height;
    this.element.scrollTop = to / this.ratio;
  }

  clicked(event) {
    const tile = this.at(event);
    if (tile) this.select(tile.place, event.shiftKey);
  }

  opened(event) {
    const tile = this.at(event);
    if (tile) this.onopen(this.list.row(tile.place), tile.place);
  }

  at(event) {
    const element = event.target.closest(".tile");
    return element && [...this.shown.values()].find((tile) => tile.element === element);
  }
}

function second(row) {
  if (row.given) return `was ${row.given}`;
  if (typeof row.similarity === "number") return `similarity ${row.similarity.toFixed(2)}`;
  const note = row.note ?? "";
  const isOfRun = note.includes("taken for");
  if (!isOfRun && row.suggested && row.suggested !== row.label && (!note || note.includes(row.suggested))) return `${row.suggested}?`;
  return note;
}

/** The words of a tile, in the order in which they are seen. */
function describe(row) {
  return [stateOf(row), row.label ?? row.path ?? "no class", second(row)].filter(Boolean).join(" ");
}
