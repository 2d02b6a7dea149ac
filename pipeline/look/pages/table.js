// A table that sorts by any of its columns.

import { h } from "./dom.js";

const MOST = 1000;

/** `columns` are {key, name, about, number, cell(row)}; sorted by the named one first, downwards if `down`. */
export function table(name, columns, rows, { by, down = true, most = MOST } = {}) {
  const body = h("tbody", {});
  const rest = h("caption", { class: "rest", hidden: true });
  let sorted = { key: by, down };
  const heads = columns.map((column) => h("th", { scope: "col", class: column.number ? "n" : null, title: column.about },
    h("button", { type: "button", onclick: () => sort(column) }, column.name)));
  const sort = (column) => {
    sorted = { key: column.key, down: sorted.key === column.key ? !sorted.down : Boolean(column.number) };
    paint();
  };
  const paint = () => {
    const order = [...rows];
    if (sorted.key) order.sort((a, b) => compare(a[sorted.key], b[sorted.key], sorted.down));
    columns.forEach((column, place) => {
      const mine = column.key === sorted.key;
      heads[place].setAttribute("aria-sort", mine ? (sorted.down ? "descending" : "ascending") : "none");
    });
    body.replaceChildren(...order.slice(0, most).map((row) => h("tr", {}, columns.map((column, place) => {
      const cell = column.cell ? column.cell(row) : String(row[column.key] ?? "–");
      return place ? h("td", { class: column.number ? "n" : null }, cell) : h("th", { scope: "row" }, cell);
    }))));
    rest.hidden = rows.length <= most;
    rest.textContent = `The first ${most} of ${rows.length} rows.`;
  };
  paint();
  return h("table", { class: "sorts", "aria-label": name }, rest, h("thead", {}, h("tr", {}, heads)), body);
}

/** What is not known stands last, whichever way. */
function compare(a, b, down) {
  const missing = (value) => value === null || value === undefined;
  if (missing(a) || missing(b)) return missing(a) - missing(b);
  const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  return down ? -order : order;
}
