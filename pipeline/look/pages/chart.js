// Small drawings: an interval beside others, and curves of training.

import { isNumber, svg } from "./dom.js";

const WIDE = 320;
const TALL = 176;
const LEFT = 46;
const RIGHT = 74;
const TOP = 16;
const BOTTOM = 24;

/** An interval with its point, on an axis from `low` to `high` that all of them share. */
export function interval(value, range, [low, high], width = 170) {
  const x = (figure) => 4 + ((figure - low) / Math.max(1e-9, high - low)) * (width - 8);
  const line = (kind, x1, x2, y1, y2) => svg("line", { class: kind, x1, x2, y1, y2 });
  const drawing = svg("svg", { width, height: 18, viewBox: `0 0 ${width} 18`, "aria-hidden": "true" }, line("axis", 0, width, 9, 9));
  if (range) drawing.append(line("span", x(range[0]), x(range[1]), 9, 9), ...range.map((end) => line("span", x(end), x(end), 5, 13)));
  if (isNumber(value)) drawing.append(svg("circle", { class: "dot", cx: x(value), cy: 9, r: 4.5 }));
  return drawing;
}

/** Curves over epochs: {name, main, points: [[epoch, value], …]}. */
export function curves(title, lines, asPercent = false) {
  const points = lines.flatMap((line) => line.points);
  const xs = points.map(([x]) => x);
  const ys = points.map(([, y]) => y);
  const [first, last] = [Math.min(...xs), Math.max(...xs)];
  const [ground, top] = nice(Math.min(...ys), Math.max(...ys));
  const x = (value) => LEFT + ((value - first) / Math.max(1, last - first)) * (WIDE - LEFT - RIGHT);
  const y = (value) => TOP + (1 - (value - ground) / Math.max(1e-9, top - ground)) * (TALL - TOP - BOTTOM);
  const exact = (value) => Number((100 * value).toFixed(1)).toString();
  const say = (value) => (asPercent ? `${exact(value)} %` : String(Number(value.toPrecision(2))));
  const told = `${title}. ${lines.map((line) => words(line, say)).join(" ")}`;
  const drawing = svg("svg", { viewBox: `0 0 ${WIDE} ${TALL}`, role: "img", "aria-label": told });
  for (const value of [ground, (ground + top) / 2, top]) {
    const at = y(value);
    drawing.append(svg("line", { class: "axis", x1: LEFT, x2: WIDE - RIGHT, y1: at, y2: at }));
    drawing.append(svg("text", { x: LEFT - 6, y: at + 4, "text-anchor": "end" }, say(value)));
  }
  drawing.append(svg("text", { x: LEFT, y: TALL - 6 }, String(first)), svg("text", { x: WIDE - RIGHT, y: TALL - 6, "text-anchor": "end" }, `epoch ${last}`));
  const ends = apart(lines.map((line) => y(line.points.at(-1)[1])));
  lines.forEach((line, place) => {
    const kind = line.main ? "curve main" : "curve";
    if (line.points.length === 1) drawing.append(svg("circle", { class: "dot", cx: x(line.points[0][0]), cy: y(line.points[0][1]), r: 3.5 }));
    const drawn = line.points.map(([epoch, value]) => `${x(epoch).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    drawing.append(svg("polyline", { class: kind, points: drawn }),
      svg("text", { class: line.main ? "main-text" : "", x: WIDE - RIGHT + 6, y: ends[place] + 4 }, line.name));
  });
  return drawing;
}

function words({ name, points }, say) {
  return `${name}: from ${say(points[0][1])} to ${say(points.at(-1)[1])} in ${points.length} epochs.`;
}

function nice(low, high) {
  const reach = high - low || Math.abs(high) || 1;
  const step = 10 ** Math.floor(Math.log10(reach)) / 2;
  return [Math.floor(low / step) * step, Math.ceil(high / step) * step];
}

/** Names at the ends of two curves do not lie on each other. */
function apart(places) {
  if (places.length < 2 || Math.abs(places[0] - places[1]) >= 14) return places;
  const middle = (places[0] + places[1]) / 2;
  return places[0] < places[1] ? [middle - 7, middle + 7] : [middle + 7, middle - 7];
}
