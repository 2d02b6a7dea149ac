// The left column of Review: the queues with what is left in them, and the classes.

import { address } from "./api.js";
import { h, number } from "./dom.js";

const MOST = 250;

export class Aside {
  constructor() {
    this.queues = h("nav", { "aria-label": "Queues" });
    this.find = h("input", { type: "search", placeholder: "Find a class", "aria-label": "Find a class", oninput: () => this.paintClasses() });
    this.classes = h("nav", { "aria-label": "Classes" });
    this.element = h("aside", { class: "left", "aria-label": "Queues and classes" }, h("h2", {}, "Queues"), this.queues, h("h2", {}, "Classes"), this.find, this.classes);
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
    const name = whole ? `${title}: ${number(images)}` : `${title}: ${left ? `${number(left)} of ${number(images)} left` : `all ${number(images)} judged`}`;
    return h("a", { href: address("#/review", { queue: key }), title: about, "aria-label": name, "aria-current": key === this.params.queue ? "page" : null, "data-count": count }, title);
  }

  paintClasses() {
    const wanted = this.find.value.trim().toLowerCase();
    const found = this.labels.filter(({ label }) => label && label.toLowerCase().includes(wanted));
    const all = { queue: this.params.queue, split: this.params.split, rule: this.params.rule, verdict: this.params.verdict, text: this.params.text, sort: this.params.sort };
    const links = found.slice(0, MOST).map(({ label, images }) => {
      const current = label === this.params.label;
      return h("a", { href: address("#/review", { ...all, label: current ? "" : label }), "aria-current": current ? "true" : null, title: current ? `${label}: show every class again` : label, "data-count": number(images) }, label);
    });
    if (found.length > MOST) links.push(h("p", { class: "soft" }, `and ${number(found.length - MOST)} more: type to find them`));
    if (!found.length) links.push(h("p", { class: "soft" }, "No class of that name."));
    this.classes.replaceChildren(...links);
  }
}
