// The place: which page an address names, and the address of what is shown.

const FIRST = "review";
let shown = location.hash;

function parts(hash) {
  const [path, query] = hash.replace(/^#\/?/, "").split("?");
  return { page: path || FIRST, params: Object.fromEntries(new URLSearchParams(query)) };
}

/** The page and the parameters of the address. What it names counts as shown from now on. */
export function arrive() {
  shown = location.hash;
  return parts(shown);
}

/** Let the address say more exactly what a page shows. If somebody has gone on meanwhile, their address stands. */
export function noteAddress(hash) {
  if (location.hash !== shown || parts(shown).page !== parts(hash).page) return;
  history.replaceState(null, "", hash);
  shown = location.hash;
}
