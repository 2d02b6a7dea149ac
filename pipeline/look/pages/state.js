// What the store holds as a whole: counts, classes, queues. Asked for again every few seconds, so that two pages agree.

import { announce, get, reachable } from "./api.js";

const EVERY = 2000;
const EVERY_WHEN_GONE = 1000;

export const changes = new EventTarget();
export let state = null;
let timer = 0;
let asking = null;

/** Ask for the state now. Listeners of "state" are called, and those of "moved" if the store or the plan that is shown is another. */
export function refresh() {
  asking ??= get("api/state")
    .then((next) => {
      const moved = state !== null && (state.moment.number !== next.moment.number || state.plan !== next.plan);
      state = next;
      announce(state.identity);
      changes.dispatchEvent(new Event("state"));
      if (moved) changes.dispatchEvent(new Event("moved"));
      return next;
    })
    .finally(() => {
      asking = null;
      clearTimeout(timer);
      timer = setTimeout(poll, reachable() ? EVERY : EVERY_WHEN_GONE);
    });
  return asking;
}

function poll() {
  if (document.hidden) timer = setTimeout(poll, EVERY);
  else refresh().catch(() => {});
}

/** Ask for the state soon: many verdicts in a row cause one question. */
export function refreshSoon() {
  clearTimeout(timer);
  timer = setTimeout(poll, 400);
}

document.addEventListener("visibilitychange", () => document.hidden || refreshSoon());
