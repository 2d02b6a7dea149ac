// Asking the server. It knows whether the server answers, and tells who wants to know.

class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }

  /** Nobody answered: the act may be tried again. */
  get gone() {
    return this.status === 0;
  }
}

export const connection = new EventTarget();
let state = "here";

// Everything is below a path that only this session knows. A page of a session that is over goes on by the path of the next
// one of the same store, once that one is opened in the same browser.
let root = new URL(".", location.href).pathname;
let store = null;
// What only this session's server answers with: another server may listen at its port by now.
const PROOF = "coldframe-session";
let proof = null;
const sessions = new BroadcastChannel("coldframe-look");
sessions.addEventListener("message", ({ data }) => {
  if (state !== "here" && data.store === store) ({ root, proof } = data);
});

/** Say to other pages of this store that a session is open, and where. */
export function announce(identity) {
  if (store !== null) return;
  store = identity;
  sessions.postMessage({ root, proof, store });
}

export const reachable = () => state === "here";

function became(next) {
  if (next === state) return;
  const before = state;
  state = next;
  connection.dispatchEvent(new CustomEvent(next, { detail: { before } }));
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(`${root}${path}`, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    became("gone");
    throw new ApiError("The server does not answer.", 0);
  }
  if (response.ok && !proof) proof = response.headers.get(PROOF);
  if (response.status === 401 || (response.ok && response.headers.get(PROOF) !== proof)) {
    became("over");
    throw new ApiError("This session is over. Open the address that coldframe look printed again.", 401);
  }
  became("here");
  if (!response.ok) {
    const answer = await response.json().catch(() => ({}));
    throw new ApiError(answer.error ?? `The server answered with ${response.status}.`, response.status);
  }
  return response;
}

/** The path with its parameters; those that are empty are left out. */
export function address(path, params = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== "" && value !== null && value !== undefined) query.set(name, value);
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

export async function get(path, params, signal) {
  return (await ask(address(path, params), { signal })).json();
}

export async function getFloats(path, params) {
  return new Float32Array(await (await ask(address(path, params), {})).arrayBuffer());
}

export async function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  return (await ask(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
}

export const thumb = (row) => `${root}thumb/${encodeURIComponent(row.content)}`;
export const picture = (row) => `${root}picture/${encodeURIComponent(row.content)}`;
