// Which page is shown, what the header says, and the keys that hold everywhere.

import { connection, post } from "./api.js";
import { h, number, plural, say, visible } from "./dom.js";
import { settled, undo, unsaved, verdicts } from "./judge.js";
import { listen, showKeys } from "./keys.js";
import { arrive } from "./place.js";
import { offerReplay } from "./replay.js";
import { changes, refresh, state } from "./state.js";

const PAGES = [
  ["review", "Review", () => import("./review.js").then((module) => new module.Review())],
  ["map", "Map", () => import("./map.js").then((module) => new module.MapPage())],
  ["classes", "Classes", () => import("./classes.js").then((module) => new module.Classes())],
  ["runs", "Runs", () => import("./runs.js").then((module) => new module.Runs())],
  ["ask", "Ask", () => import("./ask.js").then((module) => new module.Ask())],
  ["history", "History", () => import("./history.js").then((module) => new module.History())],
];
const made = new Map();
let shown = null;
let deaf = null;
let turn = 0;

const $ = (id) => document.getElementById(id);

async function show() {
  const { page: name, params } = arrive();
  const [key, title, make] = PAGES.find(([one]) => one === name) ?? PAGES[0];
  const mine = ++turn;
  if (!made.has(key)) made.set(key, make());
  const page = await made.get(key);
  if (mine !== turn) return;
  if (shown !== page) {
    shown?.leave?.();
    deaf?.();
    deaf = listen(page.keys ?? {});
    shown = page;
    $("page").replaceChildren(page.element);
  }
  for (const tab of $("tabs").children) {
    if (tab.dataset.key === key) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  document.title = visible(`${title} · ${state.store} · coldframe`);
  await page.enter(params);
}

function paint() {
  $("store").textContent = visible(state.store);
  $("replay").hidden = !state.pending;
  $("replay").textContent = `Replay ${plural(state.pending, "verdict")}…`;
  paintUndo(state.undo);
  paintPlan();
}

/** Which plan is shown, where the store has several. */
function paintPlan() {
  const options = JSON.stringify(state.plans);
  $("plan").parentElement.hidden = state.plans.length < 2;
  if ($("plan").dataset.of !== options) {
    $("plan").dataset.of = options;
    $("plan").replaceChildren(...state.plans.map((plan) => h("option", { value: plan }, plan)));
  }
  $("plan").value = state.plan ?? "";
}

async function choosePlan() {
  try {
    await settled();
    await post("api/plan", { plan: $("plan").value });
    await renew();
  } catch (error) {
    paintPlan();
    say(error.message);
  }
}

/** Read anew what is shown: the plan is another one, or was replayed. */
async function renew() {
  await refresh().catch(() => {});
  (await made.get("review"))?.replayed();
  show().catch(failed);
}

function paintUndo(count) {
  $("undo").hidden = !count;
  $("undo").title = `${plural(count, "act")} can be undone`;
}

let trouble = "";

function notice(text) {
  trouble = text;
  $("notice").hidden = !text;
  $("notice").textContent = visible(text);
}

/** Say what is not safe yet. A verdict that is saved within a moment is not worth a word. */
let slow = 0;
let owed = null;

function paintUnsaved() {
  clearTimeout(slow);
  const tell = () => {
    const count = unsaved();
    document.body.classList.toggle("unsaved", count > 0);
    if (count) say(`${number(count)} not saved yet`, true);
    else if (owed !== null) {
      const waited = `${plural(owed, "verdict")} that waited here ${owed === 1 ? "is" : "are"} saved now.`;
      say(`The server was gone and is back. ${owed ? waited : "Nothing was waiting on this page."}`);
      owed = null;
    } else if (/not saved yet/.test($("saved").textContent)) say("Everything is saved.");
  };
  slow = setTimeout(tell, unsaved() ? 300 : 0);
}

function gone(event) {
  const why = event.type === "over"
    ? "This session is over: coldframe look was started again. Open the address that it printed, then come back to this page."
    : `The server does not answer. Is coldframe look still running? If not, start it with --port ${location.port}, and open the address that it prints.`;
  notice(`${why} Your verdicts are kept here until then.`);
  paintUnsaved();
}

function back() {
  if (!shown) refresh().then(show).catch(failed);
  if (!trouble) return;
  notice("");
  owed = unsaved();
  paintUnsaved();
}

async function takeBack() {
  try {
    const answer = await undo();
    say(`Undone: ${answer.what}.`);
  } catch (error) {
    say(error.message);
  }
}

async function replay() {
  if (await offerReplay(state.pending)) {
    await renew();
    say("The plan is replayed.");
  }
}

function start() {
  $("tabs").append(...PAGES.map(([key, title]) => h("a", { href: `#/${key}`, "data-key": key }, title)));
  $("undo").addEventListener("click", takeBack);
  $("replay").addEventListener("click", replay);
  $("plan").addEventListener("change", choosePlan);
  $("help").addEventListener("click", showKeys);
  const pages = Object.fromEntries(PAGES.map((_, place) => [String(place + 1), () => $("tabs").children[place].click()]));
  listen({ "Ctrl+z": takeBack, "?": showKeys, ...pages });
  for (const name of ["gone", "over"]) connection.addEventListener(name, gone);
  connection.addEventListener("here", back);
  verdicts.addEventListener("waiting", paintUnsaved);
  verdicts.addEventListener("saved", (event) => paintUndo(event.detail.answer.undo));
  verdicts.addEventListener("refused", (event) => say(`Not judged: ${event.detail.error.message}`));
  changes.addEventListener("state", paint);
  addEventListener("hashchange", (event) => {
    remember(new URL(event.oldURL).hash);
    show().catch(failed);
  });
}

/** The tab of a page leads back to where it was left. */
function remember(hash) {
  const tab = [...$("tabs").children].find(({ dataset }) => hash.startsWith(`#/${dataset.key}`));
  if (tab) tab.href = hash;
}

function failed(error) {
  $("page").replaceChildren(h("p", { class: "problem", role: "alert" }, error.message));
  shown = null;
}

start();
refresh().then(show).catch(failed);
