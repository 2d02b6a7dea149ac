// Points on a canvas: as many as a store has, drawn as pixels, with zoom, pan and a lasso.

import { h } from "./dom.js";

// Colours that stay apart for most eyes, on light and on dark ground alike; grey is for the rest.
const COLOURS = ["#2a7fb8", "#e0822a", "#3f9e57", "#c9473f", "#8c6bb8", "#a0703c", "#d574b0", "#5aa6a6", "#b3a02a", "#5f6fc4", "#e0695f", "#77a83b"];
const GREY = "#93999f";
const RAMP = ["#3a6ea5", "#6fa0b8", "#b9b9a8", "#de9a55", "#c8402f"];
const REACH = 9;
const DIM = 0.16;

export class Cloud {
  constructor({ lasso, hover, open }) {
    this.onlasso = lasso;
    this.onhover = hover;
    this.onopen = open;
    this.count = 0;
    this.view = { x: 0.5, y: 0.5, scale: 1 };
    this.only = null;
    this.marked = null;
    this.lassoing = false;
    const told = "Map of all pictures: arrow keys move it, plus and minus zoom, L starts a lasso";
    this.canvas = h("canvas", { tabindex: "0", role: "application", "aria-roledescription": "map", "aria-label": told });
    this.over = h("canvas", { class: "over", "aria-hidden": "true" });
    this.element = h("div", { class: "cloud" }, this.canvas, this.over);
    this.listen();
    new ResizeObserver(() => this.resize()).observe(this.element);
  }

  listen() {
    const { canvas } = this;
    const wheel = (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
    };
    canvas.addEventListener("wheel", wheel, { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.moved(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", () => { this.drag = null; this.outline(); });
    canvas.addEventListener("pointerleave", () => this.onhover(null));
  }

  /** Take points: x and y of each, between 0 and 1. */
  show(points) {
    this.points = points;
    this.count = points.length / 2;
    this.colour = new Uint32Array(this.count).fill(rgba(GREY));
    this.kind = new Int32Array(this.count);
    this.cells = null;
    this.home();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (!width || !height) return;
    this.sharp = Math.min(2, devicePixelRatio || 1);
    for (const canvas of [this.canvas, this.over]) {
      if (canvas.clientWidth === width && canvas.clientHeight === height && canvas.width === Math.round(width * this.sharp)) continue;
      canvas.width = Math.round(width * this.sharp);
      canvas.height = Math.round(height * this.sharp);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    this.width = width;
    this.height = height;
    this.schedule();
  }

  home() {
    this.view = { x: 0.5, y: 0.5, scale: 1 };
    this.schedule();
  }

  unit() {
    return this.view.scale * (Math.min(this.width, this.height) - 104);
  }

  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const before = this.unit();
    const at = [this.view.x + (x - this.width / 2) / before, this.view.y + (y - this.height / 2) / before];
    this.view.scale = Math.max(0.5, Math.min(200, this.view.scale * factor));
    const after = this.unit();
    this.view.x = at[0] - (x - this.width / 2) / after;
    this.view.y = at[1] - (y - this.height / 2) / after;
    this.schedule();
  }

  pan(x, y) {
    const unit = this.unit();
    this.view.x -= x / unit;
    this.view.y -= y / unit;
    this.schedule();
  }

  /** Colour each point by the name that it has: the first names of `order` have a colour of their own. Answers which. */
  paint(kinds, order, most) {
    const own = new Map(order.slice(0, Math.min(most, COLOURS.length)).map((index, place) => [index, COLOURS[place]]));
    const colours = new Map([...own].map(([index, colour]) => [index, rgba(colour)]));
    const grey = rgba(GREY);
    this.kind = Int32Array.from(kinds);
    for (let place = 0; place < this.count; place++) this.colour[place] = colours.get(this.kind[place]) ?? grey;
    this.highlight(null);
    return (index) => own.get(index) ?? GREY;
  }

  /** Colour each point by a figure; the places in the order of all count, so that one that is far out does not hide the rest. */
  ramp(values) {
    const order = values.map((_, place) => place).filter((place) => values[place] !== null).sort((a, b) => values[a] - values[b]);
    this.colour.fill(rgba(GREY));
    order.forEach((place, rank) => { this.colour[place] = rgba(this.rampColour(rank / Math.max(1, order.length - 1))); });
    this.highlight(null);
  }

  rampColour(share) {
    const at = share * (RAMP.length - 1);
    const from = Math.min(RAMP.length - 2, Math.floor(at));
    const part = (colour, start) => parseInt(colour.slice(start, start + 2), 16);
    const mix = (start) => Math.round(part(RAMP[from], start) * (1 - at + from) + part(RAMP[from + 1], start) * (at - from));
    return `#${[1, 3, 5].map((start) => mix(start).toString(16).padStart(2, "0")).join("")}`;
  }

  /** Show one kind of points, and the others faintly. */
  highlight(kind) {
    this.only = kind;
    this.schedule();
  }

  /** Ring these points. */
  mark(places) {
    this.marked = places.length ? new Set(places) : null;
    this.schedule();
  }

  schedule() {
    this.frame ||= requestAnimationFrame(() => { this.frame = 0; this.draw(); });
  }

  draw() {
    if (!this.count || !this.width) return;
    const pen = this.canvas.getContext("2d");
    const { width, height } = this.canvas;
    const picture = new ImageData(width, height);
    const pixels = new Uint32Array(picture.data.buffer);
    const unit = this.unit() * this.sharp;
    const left = width / 2 - this.view.x * unit;
    const top = height / 2 - this.view.y * unit;
    const side = this.side();
    const half = side >> 1;
    const faint = (colour) => (colour & 0x00ffffff) | (Math.round(255 * DIM) << 24);
    const dim = (place) => (this.only !== null && this.kind[place] !== this.only) || (this.marked !== null && !this.marked.has(place));
    // Twice, so that what is faint never covers what is meant.
    for (const faintly of this.only !== null || this.marked ? [true, false] : [false]) {
      for (let place = 0; place < this.count; place++) {
        if (dim(place) !== faintly) continue;
        const x = Math.round(left + this.points[2 * place] * unit) - half;
        const y = Math.round(top + this.points[2 * place + 1] * unit) - half;
        if (x < 0 || y < 0 || x + side >= width || y + side >= height) continue;
        const colour = faintly ? faint(this.colour[place]) : this.colour[place];
        if (side === 1) {
          pixels[y * width + x] = colour;
          continue;
        }
        for (let row = 0; row < side; row++) {
          const inset = side > 3 && (row === 0 || row === side - 1) ? 1 : 0;
          pixels.fill(colour, (y + row) * width + x + inset, (y + row) * width + x + side - inset);
        }
      }
    }
    pen.putImageData(picture, 0, 0);
  }

  side() {
    const base = this.count > 200_000 ? 1 : this.count > 20_000 ? 2 : this.count > 3000 ? 4 : 6;
    return Math.round(Math.min(12, base * Math.max(1, this.view.scale ** 0.3)) * this.sharp);
  }

  // Where a place of the window is on the map, and the other way round.
  screen(place) {
    const unit = this.unit();
    return [this.width / 2 + (this.points[2 * place] - this.view.x) * unit, this.height / 2 + (this.points[2 * place + 1] - this.view.y) * unit];
  }

  inView() {
    const found = [];
    for (let place = 0; place < this.count; place++) {
      const [x, y] = this.screen(place);
      if (x >= 0 && y >= 0 && x <= this.width && y <= this.height) found.push(place);
    }
    return found;
  }

  nearest(x, y) {
    this.cells ??= cellsOf(this.points, this.count);
    const unit = this.unit();
    const reach = REACH / unit;
    const at = [this.view.x + (x - this.width / 2) / unit, this.view.y + (y - this.height / 2) / unit];
    let best = null;
    let least = reach * reach;
    for (const place of this.cells(at[0], at[1], reach)) {
      const far = (this.points[2 * place] - at[0]) ** 2 + (this.points[2 * place + 1] - at[1]) ** 2;
      if (far < least && (this.only === null || this.kind[place] === this.only)) { least = far; best = place; }
    }
    return best;
  }

  down(event) {
    if (event.button || !this.count) return;
    this.canvas.setPointerCapture(event.pointerId);
    const at = [event.offsetX, event.offsetY];
    this.drag = { lasso: this.lassoing || event.shiftKey, last: at, path: [at], far: 0 };
    this.onhover(null);
  }

  moved(event) {
    const at = [event.offsetX, event.offsetY];
    const { drag } = this;
    if (!drag) {
      if (this.count) this.onhover(this.nearest(...at), ...at);
      return;
    }
    drag.far += Math.abs(at[0] - drag.last[0]) + Math.abs(at[1] - drag.last[1]);
    if (drag.lasso) drag.path.push(at);
    else this.pan(at[0] - drag.last[0], at[1] - drag.last[1]);
    drag.last = at;
    this.outline(drag.lasso ? drag.path : null);
  }

  up(event) {
    const { drag } = this;
    this.drag = null;
    this.outline();
    if (!drag) return;
    if (drag.far < 4) {
      const place = this.nearest(event.offsetX, event.offsetY);
      if (place !== null) this.onopen(place);
    } else if (drag.lasso) this.onlasso(this.inside(drag.path));
  }

  outline(path = null) {
    const pen = this.over.getContext("2d");
    pen.clearRect(0, 0, this.over.width, this.over.height);
    if (!path) return;
    const style = getComputedStyle(document.documentElement);
    pen.save();
    pen.scale(this.sharp, this.sharp);
    pen.beginPath();
    path.forEach(([x, y], step) => (step ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    pen.closePath();
    pen.strokeStyle = pen.fillStyle = style.getPropertyValue("--accent").trim();
    pen.lineWidth = 2;
    pen.stroke();
    pen.globalAlpha = 0.12;
    pen.fill();
    pen.restore();
  }

  inside(path) {
    const shape = new Path2D();
    path.forEach(([x, y], step) => (step ? shape.lineTo(x, y) : shape.moveTo(x, y)));
    shape.closePath();
    const [xs, ys] = [path.map(([x]) => x), path.map(([, y]) => y)];
    const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const pen = this.over.getContext("2d");
    const found = [];
    for (let place = 0; place < this.count; place++) {
      const [x, y] = this.screen(place);
      if (x < left || x > right || y < top || y > bottom) continue;
      if (this.only !== null && this.kind[place] !== this.only) continue;
      if (pen.isPointInPath(shape, x, y)) found.push(place);
    }
    return found;
  }
}

/** Points by the cell of a net that they lie in, so that the nearest is found without looking at all. */
function cellsOf(points, count) {
  const across = Math.max(1, Math.min(512, Math.round(Math.sqrt(count))));
  const of = (value) => Math.max(0, Math.min(across - 1, Math.floor(value * across)));
  const starts = new Uint32Array(across * across + 1);
  for (let place = 0; place < count; place++) starts[of(points[2 * place + 1]) * across + of(points[2 * place]) + 1]++;
  for (let cell = 1; cell < starts.length; cell++) starts[cell] += starts[cell - 1];
  const next = starts.slice();
  const places = new Uint32Array(count);
  for (let place = 0; place < count; place++) places[next[of(points[2 * place + 1]) * across + of(points[2 * place])]++] = place;
  return function* near(x, y, reach) {
    for (let row = of(y - reach); row <= of(y + reach); row++) {
      const cell = row * across;
      yield* places.subarray(starts[cell + of(x - reach)], starts[cell + of(x + reach) + 1]);
    }
  };
}

/** A colour as a pixel: alpha, blue, green, red, as little-endian memory has them. */
function rgba(hex) {
  const value = parseInt(hex.slice(1), 16);
  return ((255 << 24) | ((value & 255) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
}
