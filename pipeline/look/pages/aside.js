// The left column of Review: the queues with what is left in them, and the classes.

import { address } from "./api.js";
import { h, number } from "./dom.js";

const MOST = 250;

export class Aside {
  constructor() {
    this.queues = h("nav", { "aria-label": "Queues" });
    const find = () => this.paintClasses();
    this.find = h("input", { type: "search", placeholder: "Find a class", "aria-label": "Find a class", oninput: find });
    this.classes = h("nav", { "aria-label": "Classes" });
    this.element = h("aside", { class: "left", "aria-label": "Queues and classes" },
      h("h2", {}, "Queues"), this.queues, h("h2", {}, "Classes"), this.find, this.classes);
  }

  paint(state, params) {
    this.labels = state.labels;
    this.params = params;
    const key = JSON.stringify([state.queues, params.queue]);
    if (key !== this.queueKey) {
      this.queueKey = key;
      this.queues.replaceChildren(...state.queues.map((queue) => this.queue(queue)));
    }
    const classKey = JSON.stringify([state.labels, params]);
    if (classKey !== this.classKey) {
      this.classKey = classKey;
      this.paintClasses();
    }
  }

  queue({ key, title, about, images, left }) {
    const whole = key === "judged" || key === "failures" || key === "all";
    const count = whole ? number(images) : left ? number(left) : "done";
    const standing = left ? `${number(left)} of ${number(images)} left` : `all ${number(images)} judged`;
    const name = `${title}: ${whole ? number(images) : standing}`;
    const current = key === this.params.queue ? "page" : null;
    const href = address("#/review", { queue: key });
    return h("a", { href, title: about, "aria-label": name, "aria-current": current, "data-count": count }, title);
  }

  paintClasses() {
    const wanted = this.find.value.trim().toLowerCase();
    const found = this.labels.filter(({ label }) => label && label.toLowerCase().includes(wanted));
    const { queue, split, rule, verdict, text, sort } = this.params;
    const all = { queue, split, rule, verdict, text, sort };
    const links = found.slice(0, MOST).map(({ label, images }) => {
      const current = label === this.params.label;
      const href = address("#/review", { ...all, label: current ? "" : label });
      const title = current ? `${label}: show every class again` : label;
      return h("a", { href, title, "aria-current": current ? "true" : null, "data-count": number(images) }, label);
    });
    if (found.length > MOST) links.push(h("p", { class: "soft" }, `and ${number(found.length - MOST)} more: type to find them`));
    if (!found.length) links.push(h("p", { class: "soft" }, "No class of that name."));
    this.classes.replaceChildren(...links);
  }
}
