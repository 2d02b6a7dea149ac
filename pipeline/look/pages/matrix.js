// A confusion matrix on a canvas. Of many classes it shows where errors lie, and a click goes closer.

import { h, number, visible } from "./dom.js";

const LABELS = 128; // of the longest names
const OVERHANG = 48; // of the name over the last column, which leans to the right
const SMALLEST_LABELLED = 11;
const SMALLEST_NUMBERED = 14;
const DIGITS = { large: "12px system-ui, sans-serif", small: "9.5px system-ui, sans-serif", from: 22 };
const LARGEST = 34;
const CLOSE = 24;

export class Matrix {
  /** `open(label, predicted)` is called for the cell that a person chooses. */
  constructor({ open }) {
    this.open = open;
    const told = "Confusion matrix: arrow keys move from cell to cell, Enter opens its pictures";
    this.canvas = h("canvas", { tabindex: "0", role: "application", "aria-roledescription": "confusion matrix", "aria-label": told });
    this.words = h("p", { class: "readout", role: "status", "aria-live": "polite" });
    this.whole = h("button", { type: "button", hidden: true, onclick: () => this.show(this.order) }, "← All of them");
    this.element = h("div", { class: "matrix" }, h("div", { class: "line" }, this.words, this.whole), this.canvas);
    this.at = null;
    this.canvas.addEventListener("pointermove", (event) => this.hover(event));
    this.canvas.addEventListener("pointerleave", () => this.read(null));
    this.canvas.addEventListener("click", (event) => this.clicked(event));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    new ResizeObserver(() => this.order && this.draw()).observe(this.element);
  }

  /** Take the counts of a run: {label, predicted, images}. */
  data(cells, groups) {
    this.cells = new Map(cells.map((cell) => [`${cell.label}\n${cell.predicted}`, cell.images]));
    this.sums = new Map();
    for (const cell of cells) this.sums.set(cell.label, (this.sums.get(cell.label) ?? 0) + cell.images);
    this.groups = groups;
  }

  /** Show these classes, in this order. */
  show(order) {
    this.order = order;
    this.near(order, order);
  }

  near(rows, columns) {
    this.rows = rows;
    this.columns = columns;
    this.at = null;
    this.whole.hidden = rows === this.order;
    this.draw();
    this.read(null);
  }

  draw() {
    const width = this.element.clientWidth;
    if (!width || !this.rows) return;
    const across = Math.max(this.columns.length, 1);
    const names = this.longest();
    const roomy = Math.floor((width - names - OVERHANG) / across) >= SMALLEST_LABELLED;
    this.left = roomy ? names : this.groups ? 96 : 8;
    this.top = roomy ? Math.round(0.87 * (names - 14)) + 14 : this.groups ? 22 : 8;
    const right = roomy ? OVERHANG : 2;
    const cell = Math.max(2, Math.min(LARGEST, (width - this.left - right) / across));
    this.cell = cell >= SMALLEST_LABELLED ? Math.floor(cell) : cell;
    const size = [this.left + this.cell * across + right, this.top + this.cell * this.rows.length + 2];
    const pen = this.canvas.getContext("2d");
    const sharp = devicePixelRatio || 1;
    [this.canvas.width, this.canvas.height] = size.map((pixels) => Math.round(pixels * sharp));
    [this.canvas.style.width, this.canvas.style.height] = size.map((pixels) => `${pixels}px`);
    pen.scale(sharp, sharp);
    const style = getComputedStyle(document.documentElement);
    const colours = ["ink", "soft", "line", "accent", "well", "panel", "strong"];
    this.ink = Object.fromEntries(colours.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    pen.font = DIGITS.large;
    this.drawGround(pen);
    this.drawCells(pen);
    if (roomy) this.drawLabels(pen);
    else this.drawGroups(pen);
    this.drawCursor(pen);
  }

  /** The room that the names of the rows take. */
  longest() {
    const pen = this.canvas.getContext("2d");
    pen.font = DIGITS.large;
    return Math.min(LABELS, 14 + Math.max(48, ...this.rows.map((label) => pen.measureText(label).width)));
  }

  drawGround(pen) {
    const { cell, left, top } = this;
    pen.fillStyle = this.ink.panel;
    pen.fillRect(left, top, cell * this.columns.length, cell * this.rows.length);
    pen.strokeStyle = this.ink.line;
    pen.strokeRect(left - 0.5, top - 0.5, cell * this.columns.length + 1, cell * this.rows.length + 1);
    if (cell < SMALLEST_LABELLED) return;
    pen.globalAlpha = 0.6;
    pen.beginPath();
    const [right, bottom] = [left + cell * this.columns.length, top + cell * this.rows.length];
    const line = (x1, y1, x2, y2) => { pen.moveTo(x1, y1); pen.lineTo(x2, y2); };
    for (let row = 1; row < this.rows.length; row++) line(left, top + row * cell - 0.5, right, top + row * cell - 0.5);
    for (let column = 1; column < this.columns.length; column++) line(left + column * cell - 0.5, top, left + column * cell - 0.5, bottom);
    pen.stroke();
    pen.globalAlpha = 1;
  }

  drawCells(pen) {
    const { cell, left, top } = this;
    const gap = cell > 6 ? 1 : 0;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.font = cell < DIGITS.from ? DIGITS.small : DIGITS.large;
    this.rows.forEach((label, row) => {
      this.columns.forEach((predicted, column) => {
        const count = this.count(label, predicted);
        if (!count) return;
        const share = count / this.sums.get(label);
        // What is right is grey; errors have the colour, and even one of many can be seen.
        pen.globalAlpha = label === predicted ? 0.25 + 0.5 * share : Math.max(cell < SMALLEST_LABELLED ? 0.7 : 0.3, Math.sqrt(share));
        pen.fillStyle = label === predicted ? this.ink.strong : this.ink.accent;
        const [x, y] = [Math.round(column * cell), Math.round(row * cell)];
        pen.fillRect(left + x, top + y, Math.round((column + 1) * cell) - x - gap, Math.round((row + 1) * cell) - y - gap);
        pen.globalAlpha = 1;
        if (cell < SMALLEST_NUMBERED || pen.measureText(number(count)).width > cell - 1) return;
        pen.fillStyle = label === predicted || share < 0.5 ? this.ink.ink : this.ink.panel;
        pen.fillText(number(count), left + column * cell + cell / 2, top + row * cell + cell / 2 + 0.5);
      });
    });
    pen.font = DIGITS.large;
  }

  drawLabels(pen) {
    const { cell, left, top } = this;
    pen.fillStyle = this.ink.soft;
    pen.textAlign = "right";
    this.rows.forEach((label, row) => pen.fillText(short(pen, label, left - 10), left - 6, top + row * cell + cell / 2));
    pen.textAlign = "left";
    this.columns.forEach((label, column) => {
      pen.save();
      pen.translate(left + column * cell + cell / 2, top - 6);
      pen.rotate(-Math.PI / 3);
      pen.fillText(short(pen, label, (top - 10) * 1.15), 0, 0);
      pen.restore();
    });
  }

  drawGroups(pen) {
    if (!this.groups) return;
    const { cell, left, top } = this;
    pen.fillStyle = this.ink.soft;
    pen.strokeStyle = this.ink.strong;
    pen.textAlign = "right";
    for (const [group, from, to] of this.spans(this.rows)) {
      pen.globalAlpha = 0.6;
      pen.strokeRect(left + from * cell, top + from * cell, (to - from) * cell, (to - from) * cell);
      pen.globalAlpha = 1;
      pen.fillText(short(pen, group, left - 10), left - 6, top + ((from + to) / 2) * cell);
    }
  }

  spans(order) {
    const spans = [];
    order.forEach((label, place) => {
      const group = this.groups.get(label) ?? "";
      if (spans.at(-1)?.[0] === group) spans.at(-1)[2] = place + 1;
      else spans.push([group, place, place + 1]);
    });
    return spans;
  }

  drawCursor(pen) {
    if (!this.at) return;
    const { cell, left, top } = this;
    const [row, column] = this.at;
    pen.strokeStyle = this.ink.ink;
    pen.lineWidth = 2;
    pen.strokeRect(left + column * cell - 1, top + row * cell - 1, cell + 1, cell + 1);
    pen.lineWidth = 1;
  }

  count(label, predicted) {
    return this.cells.get(`${label}\n${predicted}`) ?? 0;
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - this.left) / this.cell);
    const row = Math.floor((event.clientY - box.top - this.top) / this.cell);
    return row >= 0 && column >= 0 && row < this.rows.length && column < this.columns.length ? [row, column] : null;
  }

  hover(event) {
    this.read(this.place(event));
  }

  read(at) {
    if (!at) {
      const click = this.cell < SMALLEST_LABELLED ? "Click to go closer." : "Click a cell for its pictures.";
      this.words.textContent = `Each row is a class, each column what it was taken for. ${click}`;
      return;
    }
    const [label, predicted] = [this.rows[at[0]], this.columns[at[1]]];
    const count = this.count(label, predicted);
    const of = number(this.sums.get(label) ?? 0);
    const what = label === predicted ? "found right" : `taken for ${predicted}`;
    this.words.textContent = visible(`${label}: ${number(count)} of ${of} ${what}`);
  }

  clicked(event) {
    const at = this.place(event);
    if (!at) return;
    this.at = at;
    this.choose();
  }

  choose() {
    const [row, column] = this.at;
    if (this.cell < SMALLEST_LABELLED) return this.near(around(this.rows, row), around(this.columns, column));
    if (this.count(this.rows[row], this.columns[column])) this.open(this.rows[row], this.columns[column]);
    else this.draw();
  }

  key(event) {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (event.key === "Enter" && this.at) this.choose();
    else if (event.key === "Escape" && !this.whole.hidden) this.show(this.order);
    else if (step) {
      const [row, column] = this.at ?? [-step[0], -step[1]];
      this.at = [clamp(row + step[0], this.rows.length), clamp(column + step[1], this.columns.length)];
      this.draw();
      this.read(this.at);
    } else return;
    event.preventDefault();
  }
}

const clamp = (value, length) => Math.max(0, Math.min(length - 1, value));

function around(order, place) {
  const from = Math.max(0, Math.min(order.length - CLOSE, place - CLOSE / 2));
  return order.slice(from, from + CLOSE);
}

function short(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  let kept = text;
  while (kept.length > 1 && pen.measureText(`${kept}…`).width > width) kept = kept.slice(0, -1);
  return `${kept}…`;
}
