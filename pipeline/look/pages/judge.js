// Verdicts on their way to the store. A page goes on at once; what is not safe on disk yet is kept here and said.

import { connection, post } from "./api.js";
import { refreshSoon } from "./state.js";

const AGAIN = 2000;

export const verdicts = new EventTarget();
const waiting = [];
let sending = null;
let timer = 0;

const tell = (name, detail) => verdicts.dispatchEvent(new CustomEvent(name, { detail }));

// An act that is sent again, since its answer was lost, must not be done twice.
let acts = 0;
const page = `${Date.now()}-${Math.random()}`;
const name = () => `${page}-${++acts}`;

/** How many pictures were judged here whose verdicts are not safe yet. */
export const unsaved = () => waiting.reduce((sum, act) => sum + act.count, 0);

/** Rows as they were judged here, of which the server may not know yet. */
export const unsavedRows = () => waiting.flatMap((act) => act.after ?? []);

/** Judge images. `rows` are shown as they will be, before the server has answered. */
export function judge(rows, verdict, label, queue) {
  const before = rows.map((row) => ({ ...row }));
  const ids = rows.map((row) => row.id);
  const after = rows.map((row) => judged(row, verdict, label));
  tell("rows", after);
  add({ path: "api/judge", count: ids.length, before, after, body: { act: name(), ids, contents: rows.map((row) => row.content), verdict, label, why: null, seen: { queue } } });
}

/** Judge everything in a list: `count` pictures, `which` ones, as the page has said. Answers when it is done. */
export function judgeList(list, verdict, label, { total, which }) {
  return new Promise((resolve, reject) => {
    const body = { act: name(), list, verdict, label, why: null, expect: which, seen: { queue: list.queue } };
    add({ path: "api/judge", count: total, before: [], body, resolve, reject });
  });
}

/** Take back the last act of this session. Answers what was undone. */
export function undo() {
  return new Promise((resolve, reject) => add({ path: "api/undo", count: 0, before: [], body: { act: name() }, resolve, reject }));
}

/** Answers when nothing is on its way. */
export async function settled() {
  while (sending) await sending;
}

function judged(row, verdict, label) {
  const given = row.given ?? null;
  if (verdict === "relabel") return { ...row, verdict: ["keep", "drop"].includes(row.verdict) ? row.verdict : verdict, label, given: given ?? row.label };
  if (verdict === "unset") return { ...row, verdict: null, label: given ?? row.label, given: null };
  return { ...row, verdict };
}

function add(act) {
  waiting.push(act);
  tell("waiting");
  send();
}

function send() {
  sending ??= drain().then((whole) => {
    sending = null;
    if (whole && waiting.length) send();
  });
}

/** Send what waits, in order. Answers whether all of it was sent. */
async function drain() {
  clearTimeout(timer);
  while (waiting.length) {
    const act = waiting[0];
    try {
      const answer = await post(act.path, act.body);
      waiting.shift();
      tell("rows", answer.rows ?? []);
      tell("saved", { act, answer });
      act.resolve?.(answer);
    } catch (error) {
      if (error.gone || error.status === 401 || error.status >= 502) {
        timer = setTimeout(send, AGAIN);
        tell("waiting");
        return false;
      }
      waiting.shift();
      tell("rows", act.before);
      tell("refused", { act, error });
      act.reject?.(error);
    }
    tell("waiting");
  }
  refreshSoon();
  return true;
}

connection.addEventListener("here", () => waiting.length && send());

addEventListener("beforeunload", (event) => {
  if (unsaved()) event.preventDefault();
});
